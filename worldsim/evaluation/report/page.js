// Ties the film, the story and the plots together: a click on a moment seeks, and a line follows the film.
(() => {
  const film = document.querySelector("video");
  const strip = document.querySelector(".strip");
  if (!film || !strip) return;
  const start = Number(strip.dataset.start), end = Number(strip.dataset.end);
  const now = strip.querySelector(".now"), fill = strip.querySelector(".fill");
  const play = document.querySelector(".play"), clock = document.querySelector(".reel output");
  film.controls = false; // they would cover the caption; the strip below does their work
  const cursors = [...document.querySelectorAll(".plot[data-left]")].map((plot) => {
    const line = document.createElement("div");
    line.className = "cursor";
    plot.append(line);
    return { line, left: Number(plot.dataset.left), right: Number(plot.dataset.right),
             start: Number(plot.dataset.start), end: Number(plot.dataset.end) };
  });
  const seconds = () => start + (film.duration ? film.currentTime / film.duration : 0) * (end - start);
  const seek = (t) => {
    if (film.duration) film.currentTime = Math.min(Math.max((t - start) / (end - start), 0), 0.999) * film.duration;
  };
  const draw = () => {
    const t = seconds(), share = 100 * (t - start) / (end - start);
    now.style.left = fill.style.width = `${share}%`;
    clock.value = `${t.toFixed(1)} s`;
    play.textContent = film.paused ? "\u25b6\ufe0e" : "\u275a\u275a";
    for (const c of cursors) {
      const x = (t - c.start) / (c.end - c.start);
      c.line.style.display = film.currentTime > 0 && x >= 0 && x <= 1 ? "block" : "none";
      c.line.style.left = `${100 * (c.left + x * (c.right - c.left))}%`;
    }
    if (!film.paused) requestAnimationFrame(draw);
  };
  let untouched = true; // until somebody plays or seeks, the film rests on its most telling moment
  film.addEventListener("loadedmetadata", () => { if (strip.dataset.show) seek(Number(strip.dataset.show)); });
  film.addEventListener("play", () => { if (untouched) film.currentTime = 0; untouched = false; });
  const toggle = () => (film.paused ? film.play() : film.pause());
  for (const event of ["play", "pause", "seeked", "timeupdate", "loadedmetadata"]) film.addEventListener(event, draw);
  if (film.readyState > 0 && strip.dataset.show) seek(Number(strip.dataset.show));
  film.addEventListener("click", toggle);
  play.addEventListener("click", toggle);
  strip.addEventListener("click", (e) => {
    untouched = false;
    if (e.target.dataset.seek) return;
    const box = strip.getBoundingClientRect();
    seek(start + (end - start) * (e.clientX - box.left) / box.width);
  });
  for (const mark of document.querySelectorAll("[data-seek]")) {
    const go = () => {
      untouched = false;
      seek(Number(mark.dataset.seek));
      film.closest("figure").scrollIntoView({ block: "nearest" });
    };
    mark.addEventListener("click", go);
    mark.addEventListener("keydown", (e) => { if (e.key === "Enter") go(); });
  }
  draw();
})();
