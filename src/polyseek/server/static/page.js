// What HTML and htmx cannot do by themselves: dropped and recorded files, the keyboard, players.
// Everything listens on the document, so that it also works on what htmx has put in.

const one = (selector) => document.querySelector(selector);
const search = (button) => one("#search")?.requestSubmit(button);

// Files: the form's own file input holds them, so the form is sent as it is.

function setFiles(files) {
  const input = one("#file");
  if (!input) return;
  const held = new DataTransfer();
  for (const file of files) held.items.add(file);
  input.files = held.files;
  showFiles();
}

function addFiles(files) {
  if (!files.length) return;
  setFiles([...one("#file").files, ...files]);
  search();
}

function showFiles() {
  const files = [...one("#file").files];
  one("#files").replaceChildren(...files.map((file, i) => {
    const chip = document.createElement("span");
    chip.className = "chip";
    if (file.type.startsWith("image/")) {
      const picture = document.createElement("img");
      picture.alt = "";
      picture.src = URL.createObjectURL(file);
      picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
      chip.append(picture);
    }
    const name = document.createElement("span");
    name.textContent = file.name;
    const gone = document.createElement("button");
    gone.type = "button";
    gone.textContent = "×";
    gone.setAttribute("aria-label", `Leave ${file.name} out of the search`);
    gone.addEventListener("click", () => {
      setFiles(files.filter((_, j) => j !== i));
      search();
    });
    chip.append(name, gone);
    return chip;
  }));
}

document.addEventListener("change", (event) => {
  if (event.target.id === "file") { showFiles(); search(); }
  if (event.target.matches("[name=modality], .panel select, .panel [type=date]")) search();
});

const carriesFiles = (event) => one("#file") && event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!carriesFiles(event)) return;
  event.preventDefault();
  addFiles(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (one("#file") && event.clipboardData?.files.length) {
    event.preventDefault();
    addFiles(event.clipboardData.files);
  }
});

// The microphone: recorded by the browser, sent as WAV, which every server can read.

let recorder = null;

async function record(button) {
  if (recorder) { recorder.stop(); return; }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    button.title = "The browser gives no access to a microphone";
    say(button.title);
    return;
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.addEventListener("stop", async () => {
    recorder = null;
    button.setAttribute("aria-pressed", "false");
    for (const track of stream.getTracks()) track.stop();
    const context = new AudioContext();
    const sound = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
    context.close();
    addFiles([new File([wav(sound)], "recording.wav", { type: "audio/wav" })]);
  });
  recorder.start();
  button.setAttribute("aria-pressed", "true");
  say("Recording. Press again to search.");
  setTimeout(() => recorder?.stop(), 30_000);
}

function wav(sound) {
  const samples = sound.getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((s, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, s)) * 0x7fff, true));
  return view.buffer;
}

const say = (words) => { one("#said").textContent = words; };

// Clicks.

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, .wave, a, dialog");
  if (!target) return;
  if (target.id === "record") record(target);
  if (target.name === "more") { setFiles([]); one("#q").value = ""; }
  if (target.matches("[data-clear]")) {
    event.preventDefault();
    for (const field of target.closest(".panel").querySelectorAll("input, select")) field.value = "";
    search();
  }
  if (target.matches(".play")) play(target.closest(".sound"));
  if (target.matches(".wave")) seek(target, event);
  if (target === one("#detail") && event.target === target) target.close();
}, { capture: true });

// Sounds: one plays at a time; the line moves over the waveform.

function play(sound) {
  const audio = sound.querySelector("audio");
  if (!audio.paused) { audio.pause(); return; }
  for (const other of document.querySelectorAll("audio, video")) if (other !== audio) other.pause();
  audio.play();
}

function seek(wave, event) {
  const audio = wave.parentElement.querySelector("audio");
  const box = wave.getBoundingClientRect();
  const to = () => { audio.currentTime = ((event.clientX - box.left) / box.width) * audio.duration; };
  if (audio.readyState) to(); else audio.addEventListener("loadedmetadata", to, { once: true });
  if (audio.paused) play(wave.parentElement);
}

function moved(event) {
  const sound = event.target.closest?.(".sound");
  if (!sound) return;
  const audio = event.target;
  sound.classList.toggle("playing", !audio.paused && !audio.ended);
  sound.classList.toggle("held", audio.paused && !audio.ended && audio.currentTime > 0);
  if (audio.duration) {
    sound.querySelector(".wave i").style.left = `${(100 * audio.currentTime) / audio.duration}%`;
  }
}
for (const name of ["play", "pause", "ended", "timeupdate"]) document.addEventListener(name, moved, true);

// The keyboard: / to the box, arrows through the grid, Escape back.

const tiles = () => [...document.querySelectorAll(".grid .tile:is(a), .grid .over")];
const middle = (tile) => {
  const box = tile.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
};

function step(from, key) {
  const all = tiles();
  const at = all.indexOf(from);
  if (key === "ArrowRight") return all[at + 1];
  if (key === "ArrowLeft") return all[at - 1];
  const here = middle(from);
  const down = key === "ArrowDown" ? 1 : -1;
  const rows = all.map((tile) => ({ tile, ...middle(tile) })).filter((t) => down * (t.y - here.y) > 20);
  rows.sort((a, b) => down * (a.y - b.y) || 0);
  const row = rows.filter((t) => Math.abs(t.y - rows[0].y) < 20);
  row.sort((a, b) => Math.abs(a.x - here.x) - Math.abs(b.x - here.x));
  return row[0]?.tile;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one("#detail")?.open) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    one("#q")?.focus();
    one("#q")?.select();
  } else if (event.key === "ArrowDown" && event.target.id === "q") {
    event.preventDefault();
    tiles()[0]?.focus();
  } else if (event.key.startsWith("Arrow") && event.target.matches(".tile, .over")) {
    event.preventDefault();
    (step(event.target, event.key) ?? (event.key === "ArrowUp" ? one("#q") : null))?.focus();
  }
});

// After htmx has swapped: the dialog opens, what was found is in view.

document.addEventListener("htmx:after:swap", () => {
  const detail = one("#detail");
  if (detail?.childElementCount && !detail.open) detail.showModal();
});
document.addEventListener("htmx:after:request", (event) => {
  if (event.detail.ctx?.sourceElement?.id !== "search") return;
  scrollTo({ top: 0 });
  document.title = `${one("#q").value || "Search"} · polyseek`;
});
document.addEventListener("close", (event) => {
  if (event.target.id === "detail") event.target.replaceChildren();
}, true);

if (one("#record") && navigator.mediaDevices) one("#record").hidden = false;
