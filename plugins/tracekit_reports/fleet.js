// Sort and filter the table of cases. Without this script the page has the same rows, the worst first.
const table = document.querySelector(".cases table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
const rows = [...body.rows].map((row, order) => ({ row, order, cells: [...row.cells].map((c) => c.textContent.trim()) }));
for (const r of rows) r.text = r.cells.join("\n").toLowerCase();
const { compare } = new Intl.Collator("en", { numeric: true });
const worst = ["critical", "high", "medium", "low", "info", "proven", "probable", "possible"], rank = (text) => worst.indexOf(text);

// Sorting: each head is a button; the second click turns the order round, the third takes the page's own.
for (const [at, head] of heads.entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")], to = next === undefined ? "ascending" : next;
    for (const other of heads) other.removeAttribute("aria-sort");
    if (to) head.setAttribute("aria-sort", to);
    const turn = to === "descending" ? -1 : 1;
    const by = (a, b) => turn * (rank(a.cells[at]) - rank(b.cells[at]) || compare(a.cells[at], b.cells[at])) || a.order - b.order;
    rows.sort(to ? by : (a, b) => a.order - b.order);
    show();
    body.append(...rows.map((r) => r.row));
  });
}

// Filters: words that a row must hold, and a choice for each column of few values.
const form = document.querySelector(".filter"), chosen = new Map();
const field = (name, input) => {
  const label = document.createElement("label");
  label.append(name, input);
  form.append(label);
  return input;
};
const words = field("Words", document.createElement("input"));
words.type = "search";
for (const [at, head] of heads.entries()) {
  const values = [...new Set(rows.map((r) => r.cells[at]))];
  if (!["Severity", "Fault", "State", "Grade", "Kernel"].includes(head.textContent) || values.length < 2) continue;
  const select = field(head.textContent, document.createElement("select"));
  select.append(new Option("all", ""), ...values.sort((a, b) => rank(a) - rank(b) || compare(a, b)).map((v) => new Option(v || "none", `=${v}`)));
  chosen.set(at, select);
}
const button = (text, act) => {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => { act(); show(); });
  form.append(made);
  return made;
};
button("No filter", () => clear());
const more = button("All rows", () => { most = Infinity; });
const count = document.createElement("span");
count.setAttribute("role", "status");
form.append(count);
form.hidden = false;

let cell = {}, most = 500; // rows that are laid out before they are asked for
const show = () => {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let seen = 0;
  for (const { row, text, cells } of rows) {
    const fits = wanted.every((w) => text.includes(w))
      && [...chosen].every(([at, select]) => !select.value || select.value === `=${cells[at]}`)
      && Object.entries(cell).every(([name, value]) => row.dataset[name] === value);
    seen += fits;
    row.hidden = !fits || seen > most;
  }
  const of = Object.keys(cell).length ? " of that cell" : "";
  more.hidden = seen <= most;
  count.textContent = `${seen > most ? `first ${most} of ` : ""}${seen.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows${of}`;
};
const clear = () => {
  cell = {};
  form.reset();
};
form.addEventListener("input", show);
form.addEventListener("submit", (e) => e.preventDefault());

// A cell of the heat map shows its cases.
for (const link of document.querySelectorAll("a[data-f]")) {
  link.addEventListener("click", () => { clear(); cell = { ...link.dataset }; show(); });
}
show();
