"""Write the bank of generic queries that ships with polyseek: what people might type.

    python tools/write_bank.py src/polyseek/learn/data/bank.txt

A small grammar over our own word lists; the same seed gives the same lines.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path

SEED = 7
LINES = 3000


def listed(text: str) -> list[str]:
    """The entries of a text with bars between them; line breaks count as blanks."""
    return [" ".join(entry.split()) for entry in text.split("|")]


PEOPLE = listed(
    """a man|a woman|a boy|a girl|a child|two children|a group of people|an old man|an elderly
    woman|a young couple|a family|three friends|a crowd|a baby|a toddler|a teenager|two
    women|two men|a father and his daughter|a mother with her son|grandparents|a student|a
    tourist|kids|someone|a bride and groom|a team|several people|a little girl|a bearded man"""
)
WORKERS = listed(
    """a chef|a nurse|a doctor|a farmer|a police officer|a firefighter|a teacher|a carpenter|a
    mechanic|a photographer|a musician|a dancer|a street vendor|a waiter|a fisherman|a soldier|a
    scientist|a construction worker|a painter|a journalist|a politician|a priest|a pilot"""
)
DEEDS = listed(
    """walking|running|sitting on a bench|laughing|reading a book|talking on the
    phone|dancing|eating lunch|drinking coffee|taking a picture|waiting|smiling at the
    camera|sleeping|playing chess|shopping|crossing the road|climbing stairs|holding an
    umbrella|carrying bags|looking out of a window|hugging|waving|cooking dinner|playing the
    guitar|singing|painting a wall|working on a laptop|giving a speech|shaking hands|riding a
    bicycle|pushing a pram|jumping|standing in line|arguing|blowing out candles|opening a
    present|feeding birds|washing dishes|driving|lying in the grass|using a
    computer|fishing|gardening|skateboarding|swimming|hiking|doing yoga|kissing|crying|writing a
    letter|fixing a bike|wearing a red hat|in a blue jacket|with a backpack|in traditional
    dress|in uniform|with glasses|wearing sunglasses|in a suit|in a wheelchair"""
)
PLACES = listed(
    """on the beach|in the park|on a busy street|in the kitchen|at home|in an office|at school|at a
    train station|at the airport|in a restaurant|in the mountains|by the lake|by the river|in a
    forest|in the desert|in the snow|in the rain|at night|on a bridge|in a garden|on a boat|at a
    concert|in a museum|in a church|at the market|in a hospital|in front of a house|on stage|in
    a stadium|at a wedding|on a farm|in a field|under a tree|on the roof|in a car|on the
    subway|in a swimming pool|at a party|in a classroom|in a library|in a workshop|at the zoo|on
    a playground|in the city|near a waterfall|in a cave|at sunset|in the fog|on a rainy day|in
    winter|in summer|in a shop|in a factory|at a demonstration|in a tent|on a mountain trail|by
    the sea|in a tunnel|outside|indoors|in a village"""
)
ANIMALS = listed(
    """a dog|a cat|a horse|a bird|a cow|a sheep|an elephant|a lion|a bear|a monkey|a rabbit|a
    goat|a duck|an owl|a fish|a shark|a whale|a butterfly|a bee|a spider|a snake|a frog|a
    turtle|a squirrel|a fox|a deer|a wolf|a penguin|a parrot|an eagle|a chicken|a pig|a puppy|a
    kitten|a black dog|a white cat|a flock of birds|a herd of cattle|a swan|a camel|a mouse|a
    lizard|two dogs|a giraffe|a zebra|a crocodile|an insect"""
)
ANIMAL_DEEDS = listed(
    """running|sleeping|eating|drinking water|playing with a ball|in the grass|on a
    branch|swimming|flying|looking at the camera|in a cage|in the wild|jumping|on a sofa|in the
    water|with its young|close up|standing in a field|at the window|in the snow|on the
    beach|behind a fence|chasing another|on a leash|in the sky|on a rock"""
)
THINGS = listed(
    """car|bicycle|train|bus|truck|motorcycle|boat|sailing
    ship|airplane|helicopter|tram|tractor|chair|table|lamp|sofa|bed|window|door|clock|mirror|book|newspaper|map|letter|phone|laptop|camera|television|keyboard|guitar|piano|violin|drum|trumpet|cup|bottle|plate|knife|flower|tree|rose|leaf|house|castle|tower|church|bridge|lighthouse|skyscraper|windmill|barn|fountain|statue|flag|street
    sign|traffic
    light|umbrella|hat|shoe|dress|jacket|ring|watch|glasses|bag|suitcase|ball|kite|toy|doll|balloon|candle|fire|rocket|satellite|telescope|microscope|robot|machine|tool|hammer|ladder|fence|wall|stairs|road|basket|box|coin|banknote|painting|poster|sculpture|mask|crown|sword|surfboard|skis|tent|backpack|helmet|vase|teapot|pan|oven|fridge|sink|bathtub|towel|pillow|carpet|curtain|pencil|notebook|scissors|rope|chain|key|lock|wheel|engine|computer
    chip|cable|solar panel|wind turbine|anchor|net|bucket"""
)
LOOKS = listed(
    """red|blue|green|yellow|black|white|old|new|broken|small|huge|wooden|rusty|shiny|vintage|modern|empty|colourful|dirty|striped|golden|pink|orange|grey|brown|purple|round|antique|cheap|expensive|handmade"""
)
SCENES = listed(
    """sunset over the ocean|snowy mountains|a starry sky|northern lights|a foggy forest|autumn
    leaves|a field of sunflowers|city skyline at night|an empty street|a crowded market|a sandy
    beach with palm trees|storm clouds|a rainbow|a waterfall|rolling hills|a frozen lake|a
    desert with dunes|a tropical island|a canyon|a volcano|a rice field|a vineyard|a narrow
    alley|a harbour|a country road|a suspension bridge|a train in the station|traffic jam|a
    construction site|an abandoned building|a cosy living room|a messy desk|a modern kitchen|a
    bathroom|a classroom|an old library|a church interior|a hospital corridor|a football
    stadium|a swimming pool|fireworks|a campfire|a flooded street|a house on fire|cherry
    blossom|a cemetery|a lighthouse in a storm|full moon|sunrise in the mountains|clouds from
    above|aerial view of a city|a farm|a playground|a greenhouse|an underwater reef|a satellite
    image|a wind farm|an oil platform|a power station|a supermarket|a parking lot|a petrol
    station|an airport terminal|a court room|a parliament"""
)
FOOD = listed(
    """a bowl of soup|pizza|a slice of cake|fresh fruit|vegetables at a market|sushi|a
    hamburger|pasta with tomato sauce|a cup of coffee|a glass of wine|breakfast|ice
    cream|bread|cheese|salad|grilled fish|chocolate|a birthday
    cake|apples|bananas|rice|noodles|eggs and bacon|sandwiches|tea|cookies|strawberries|a
    picnic|street food|a beer|steak|pancakes|curry"""
)
SPORTS = listed(
    """a football match|a basketball player dunking|a tennis player serving|a runner at the finish
    line|a marathon|a cyclist in a race|a surfer on a wave|a skier going downhill|a snowboarder
    in the air|ice skating|a hockey game|a boxer in the ring|a gymnast|a swimmer|a golfer|a
    rugby tackle|baseball|a volleyball game on the beach|a rock climber|a rider jumping a
    fence|a racing car|karate|rowing|a goalkeeper|fans cheering|a trophy ceremony|a skateboard
    trick|kayaking on a river|paragliding|a motocross rider|table tennis|athletes on the podium"""
)
EVENTS = listed(
    """a birthday party|a wedding ceremony|a graduation|a funeral|a protest|a parade|an election|a
    concert|a press conference|a trade fair|a christmas market|carnival|new year's
    eve|halloween|a family dinner|a barbecue|a school trip|a holiday by the sea|a business
    meeting|an interview|a court hearing|an accident|an earthquake|a flood|a market day|a
    fashion show|an exhibition opening|a theatre play|a lecture|a team meeting|a moving
    day|first day at school"""
)
SOUNDS = listed(
    """rain on a roof|thunder|wind|waves|a dog barking|a cat meowing|birds singing|a rooster|a baby
    crying|laughter|applause|footsteps|a door closing|knocking|a phone ringing|an alarm
    clock|church bells|a siren|a car horn|an engine starting|a train passing|an airplane
    overhead|a helicopter|a motorbike|a lawn mower|a chainsaw|drilling|hammering|typing|a clock
    ticking|water running|boiling water|a kettle|glass breaking|fire crackling|a gunshot|an
    explosion|fireworks|crowd noise|people talking|someone singing|a
    choir|whistling|snoring|coughing|a piano|an acoustic guitar|an electric guitar|drums|a
    violin|a flute|a trumpet|an organ|techno music|jazz|a string quartet|a slow sad melody|a
    drum loop|ambient drone|crickets|frogs|a cow mooing|horses galloping|a buzzing bee|static
    noise|a vacuum cleaner|a washing machine|a camera shutter|coins|paper rustling|scratching|an
    echo|children playing|a sports crowd|radio chatter|a ship's horn"""
)
TOPICS = listed(
    """annual report|invoice|meeting notes|project plan|user manual|recipe for apple pie|train
    timetable|rental contract|climate change|artificial intelligence|solar energy|world
    history|ancient rome|the french revolution|quantum physics|black
    holes|evolution|vaccines|heart disease|mental health|inflation and interest rates|stock
    market|tax return|immigration policy|human rights|football results|how to tie a knot|how to
    plant tomatoes|how to fix a flat tyre|travel guide to japan|hotel booking|city map|weather
    forecast|curriculum vitae|love letter|poem about the sea|short story|song lyrics|privacy
    policy|software license|python tutorial|database design|machine learning|network
    security|chess openings|yoga for beginners|dog training|bird migration|whale songs|volcanic
    eruptions|the moon landing|electric cars|high-speed rail|urban planning|renaissance art|film
    review|interview with the mayor|press release|minutes of the board|safety
    instructions|budget for next year|school timetable|exam questions|birthday
    invitation|packing list|shopping list"""
)
STYLES = listed(
    """a photo of {}|photo of {}|picture of {}|a picture showing {}|close-up of {}|{} seen from
    above|{} at night|black and white photo of {}|an old photograph of {}|a drawing of {}|a
    painting of {}|blurry picture of {}|{} in the background|many {}|logo with {}|icon of
    {}|screenshot with {}|{}"""
)
HEARD = listed(
    """{}|sound of {}|the sound of {}|recording of {}|{} in the distance|loud {}|{} sound effect"""
)
READ = listed(
    """{}|article about {}|text about {}|what is said about {}|notes on {}|questions about {}"""
)


def article(noun: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def query(rng: random.Random) -> str:
    """One line of the bank."""
    pick = rng.choice

    def thing() -> str:
        plain = pick(THINGS)
        looks = f"{pick(LOOKS)} {plain}"
        return pick([plain, article(plain), looks, article(looks)])

    kinds: dict[str, Callable[[], str]] = {
        "people": lambda: f"{pick(PEOPLE + WORKERS)} {pick(DEEDS)} {pick(PLACES)}",
        "deed": lambda: f"{pick(PEOPLE + WORKERS)} {pick(DEEDS)}",
        "place": lambda: f"{pick(PEOPLE + WORKERS)} {pick(PLACES)}",
        "worker": lambda: f"{pick(WORKERS)} with {article(pick(THINGS))}",
        "animal": lambda: f"{pick(ANIMALS)} {pick(ANIMAL_DEEDS)}",
        "pet": lambda: f"{pick(PEOPLE)} with {pick(ANIMALS)} {pick(PLACES)}",
        "thing": thing,
        "styled": lambda: pick(STYLES).format(thing()),
        "set": lambda: f"{thing()} {pick(PLACES)}",
        "pair": lambda: f"{thing()} next to {thing()}",
        "scene": lambda: pick(SCENES),
        "scene with": lambda: f"{pick(SCENES)} with {pick(PEOPLE + ANIMALS)}",
        "food": lambda: pick(["{}", "{} on a table", "{} on a plate"]).format(pick(FOOD)),
        "meal": lambda: f"{pick(PEOPLE)} eating {pick(FOOD)}",
        "sport": lambda: pick([pick(SPORTS), f"{pick(SPORTS)} {pick(PLACES)}"]),
        "event": lambda: pick([pick(EVENTS), f"{pick(PEOPLE)} at {pick(EVENTS)}"]),
        "sound": lambda: pick(HEARD).format(pick(SOUNDS)),
        "topic": lambda: pick(READ).format(pick(TOPICS)),
    }
    weights = [9, 5, 4, 2, 5, 3, 4, 3, 4, 1, 3, 2, 2, 1, 3, 2, 5, 4]
    return rng.choices(list(kinds.values()), weights)[0]()


def bank(lines: int = LINES, seed: int = SEED) -> list[str]:
    """Distinct queries, in the order they were drawn."""
    rng = random.Random(seed)  # noqa: S311 - the same lines every time are the point
    found: dict[str, None] = {}
    while len(found) < lines:
        found.setdefault(" ".join(query(rng).split()))
    return list(found)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the bank of generic queries")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.write_text("\n".join(bank()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
