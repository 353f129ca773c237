// Zoom of the pictures: Ctrl and the wheel, or + and - while a picture has the focus, 0 for the whole. The page scrolls to pan.
for (const box of document.querySelectorAll(".picture")) {
  const svg = box.querySelector("svg"), [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const from = Number(svg.dataset.from), share = box.clientWidth / width, parts = [];
  for (const e of svg.querySelectorAll("rect, line, text")) {
    for (const name of ["x", "x1", "x2", "width"]) {
      const at = Number(e.getAttribute(name));
      if (e.hasAttribute(name) && (name === "width" || at >= from)) parts.push([e, name, at]);
    }
  }
  let zoom = 1;
  const to = (wanted, middle) => {
    const before = zoom, seen = (box.scrollLeft + middle) / before;
    zoom = Math.min(200, Math.max(1, wanted));
    for (const [e, name, at] of parts) {
      const wide = name === "width" && !e.classList.contains("fixed");
      e.setAttribute(name, name === "width" ? (wide ? at * zoom : at) : from + (at - from) * zoom);
    }
    const whole = from + (width - from) * zoom;
    svg.setAttribute("viewBox", `0 0 ${whole} ${height}`);
    svg.style.width = zoom === 1 ? "" : `${whole * share}px`;
    box.scrollLeft = seen * zoom - middle;
  };
  box.addEventListener("wheel", (e) => {
    if (!e.ctrlKey) return;
    e.preventDefault();
    to(zoom * (e.deltaY < 0 ? 1.25 : 0.8), e.clientX - box.getBoundingClientRect().left);
  }, { passive: false });
  box.addEventListener("keydown", (e) => {
    const wanted = { "+": zoom * 1.5, "=": zoom * 1.5, "-": zoom / 1.5, "0": 1 }[e.key];
    if (wanted === undefined || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    to(wanted, box.clientWidth / 2);
  });
}
