"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const drawn = new Set();

  // The plot library lies packed in the page, and is unpacked while the reader reads.
  async function unpack() {
    const packed = atob(document.getElementById("library").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }
  const ready = unpack();
  ready.catch(() => document.getElementById("old").hidden = false);

  // Colours are names of CSS variables; what a variable is depends on the theme.
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  function colour(name) {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  function painted(value, key) {
    if (Array.isArray(value)) return value.map((item) => painted(item, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v, k)]));
    }
    const named = /^(fill)?color$|^colorscale$/.test(key) && String(value).startsWith("--");
    return named ? colour(value) : value;
  }

  function themed(layout, narrow) {
    const line = colour("--line");
    const axis = {
      gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, fixedrange: true, tickangle: 0,
    };
    const axes = {};
    for (const name of ["xaxis", "yaxis", ...(layout.yaxis2 ? ["yaxis2"] : [])]) {
      axes[name] = { ...axis, ...layout[name] };
    }
    return {
      paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false, dragmode: false,
      font: { family: "system-ui, sans-serif", size: narrow ? 10.5 : 12, color: colour("--ink") },
      margin: { l: 8, r: 24, t: 16, b: 8 },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: line, font: { color: colour("--ink") } },
      ...painted(layout), ...painted(axes),
    };
  }

  function draw(place, figure = page.figures[place.id]) {
    const first = !drawn.has(place);
    drawn.add(place);
    place.figure = figure;
    const settings = { displayModeBar: false, responsive: true };
    Plotly.react(place, painted(figure.data), themed(figure.layout, place.clientWidth < 400), settings);
    if (!first) return;
    place.on("plotly_click", (event) => {
      const { data, pointNumber } = event.points[0];
      const cell = data.meta.length > 1 ? data.meta[pointNumber] : data.meta[0];
      if (cell !== undefined) show(cell);
    });
  }

  const canvases = [...document.querySelectorAll(".canvas")];
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      draw(target, target.figure);
    }
  }, { rootMargin: "800px" });
  ready.then(() => canvases.forEach((canvas) => watch.observe(canvas)), () => {});

  // Light or dark: the system's choice until the switch is pressed.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  function repaint() {
    button.textContent = isDark() ? "Light" : "Dark";
    drawn.forEach((place) => watch.observe(place)); // drawn anew once they are seen
  }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  system.addEventListener("change", repaint);
  button.textContent = isDark() ? "Light" : "Dark";

  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    root.classList.add("printing");
    if (window.Plotly) canvases.forEach((canvas) => canvas.offsetParent && draw(canvas));
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    repaint();
  });

  for (const select of document.querySelectorAll("select.scores")) {
    select.addEventListener("change", () => {
      for (const score of document.querySelectorAll(".score")) {
        if (score.dataset.part === select.dataset.part) score.hidden = score.dataset.score !== select.value;
      }
    });
  }

  // The table: sorted by a press on a heading, filtered by words and choices.
  const table = document.getElementById("cells");
  const rows = table ? [...table.tBodies[0].rows] : [];
  function sort(head) {
    const place = head.cellIndex;
    const numeric = head.matches(".number");
    const now = head.getAttribute("aria-sort");
    const up = now === "none" ? !numeric : now === "descending"; // numbers: the largest first
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[place].dataset.key ?? row.cells[place].textContent.toLowerCase();
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (numeric && (x === "" || y === "")) return (x === "") - (y === ""); // what is missing comes last
      return (numeric ? x - y : x.localeCompare(y)) * (up ? 1 : -1);
    });
    table.tBodies[0].append(...rows);
  }
  function filter(form) {
    const words = form.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const choices = [...form.querySelectorAll("select")].filter((select) => select.value);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(words.every((word) => text.includes(word))
        && choices.every((choice) => row.cells[choice.dataset.column].textContent === choice.value));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} cells`;
  }
  if (table) {
    const form = document.getElementById("filters");
    for (const head of table.tHead.rows[0].cells) {
      head.firstElementChild.addEventListener("click", () => sort(head));
    }
    form.addEventListener("input", () => filter(form));
    form.addEventListener("submit", (event) => event.preventDefault());
    table.tBodies[0].addEventListener("click", (event) => {
      const button = event.target.closest("tr").querySelector("[data-cell]");
      if (!event.target.closest("[data-cell]")) show(button.dataset.cell);
    });
  }

  // The details of one cell. Texts are set as text, never as markup.
  const dialog = document.getElementById("detail");
  if (!dialog) return; // a page of many runs has none
  function make(tag, text, ...children) {
    const node = document.createElement(tag);
    if (text) node.textContent = text;
    node.append(...children);
    return node;
  }
  function grid(heads, lines) {
    const head = make("thead", "", make("tr", "", ...heads.map((title) => make("th", title))));
    const body = lines.map((line) => make("tr", "", ...line.map((words) => make("td", words))));
    const scroll = make("div", "", make("table", "", head, make("tbody", "", ...body)));
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    return scroll;
  }
  function samples(cell) {
    const figures = [];
    for (const { data, layout } of Object.values(page.figures)) {
      if (!layout.meta) continue;
      const { span, half_row } = layout.meta;
      const traces = data.filter((trace) => trace.meta[0] === Number(cell));
      if (!traces.length) continue;
      figures.push({
        data: traces.map((trace) => ({
          ...trace, y: trace.y.map((y) => ((y - Math.round(y)) / half_row) * span * 100),
        })),
        layout: { height: 200, xaxis: layout.xaxis, yaxis: { title: { text: layout.meta.unit } } },
      });
    }
    return figures;
  }
  function show(cell) {
    const details = page.cells[cell];
    const body = document.getElementById("detail-body");
    document.getElementById("detail-title").textContent = details.name;
    const parts = [make("p", details.reason ? `${details.status}: ${details.reason}` : details.status)];
    const row = rows.find((line) => line.querySelector("[data-cell]").dataset.cell === String(cell));
    if (row) {
      const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
      const list = make("dl", "");
      [...row.cells].forEach((field, place) => {
        if (place) list.append(make("dt", heads[place]), make("dd", field.textContent));
      });
      for (const [title, value] of details.more) list.append(make("dt", title), make("dd", value));
      parts.push(list);
    }
    const plots = samples(cell).map((figure) => [make("div", ""), figure]);
    if (plots.length) parts.push(make("h3", "Its samples"), ...plots.map(([place]) => place));
    for (const check of details.parity) {
      parts.push(make("h3", check.words), make("p", `nearest its bound: ${check.nearest}`));
      if (!check.rows.length) continue;
      parts.push(grid(page.tensors, check.rows));
      if (check.of > check.rows.length) {
        parts.push(make("p", `The first ${check.rows.length} of ${check.of}: undecided, or nearest their bounds.`));
      }
    }
    if (details.settings) parts.push(make("h3", "Settings in force"), make("p", details.settings));
    parts.push(make("h3", "The end of its log"));
    parts.push(details.log.length ? make("pre", details.log.join("\n")) : make("p", "It printed nothing."));
    body.replaceChildren(...parts);
    if (!dialog.open) dialog.showModal();
    ready.then(() => plots.forEach(([place, figure]) => draw(place, figure)), () => {});
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cell]");
    if (button) show(button.dataset.cell);
    if (event.target === dialog) dialog.close();
  });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.querySelectorAll(".js-plotly-plot").forEach((place) => {
      drawn.delete(place);
      Plotly.purge(place);
    });
  });
})();
