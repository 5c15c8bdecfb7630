from polyseek.search.retrieve import Ranking


def refine(ranking, query, store, options):
    return ranking
