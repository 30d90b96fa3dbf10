(() => {
  "use strict";
  const page = JSON.parse(document.getElementById("report-data").textContent);
  const okabeIto = {
    $blue: "#0072B2", $sky: "#56B4E9", $vermillion: "#D55E00", $orange: "#E69F00", $yellow: "#F0E442",
    $green: "#009E73", $purple: "#CC79A7",
  };
  const themes = {
    light: { ...okabeIto, $ink: "#1b1f24", $muted: "#57606a", $grid: "#e3e6ea", $paper: "#fdfdfc", $grey: "#999999" },
    // blue alone is too dark to see on a dark ground
    dark: { ...okabeIto, $blue: "#3D9BD9", $ink: "#e6e8eb", $muted: "#a3abb5", $grid: "#2b3138", $paper: "#14171b", $grey: "#8b939c" },
    print: { ...okabeIto, $ink: "#000000", $muted: "#444444", $grid: "#dddddd", $paper: "#ffffff", $grey: "#999999" },
  };
  const DATA_KEYS = new Set(["x", "y", "customdata", "ticktext", "tickvals", "array", "arrayminus", "name", "text"]);
  const PRINT_WIDTH = 670;
  const NARROW = 560;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const gl = (() => {
    try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; }
  })();

  function themed(value, theme) {
    if (typeof value === "string") return Object.hasOwn(theme, value) ? theme[value] : value;
    if (Array.isArray(value)) return value.map((item) => themed(item, theme));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, DATA_KEYS.has(k) ? v : themed(v, theme)]));
  }

  function axis(given, theme, narrow) {
    return {
      automargin: true, gridcolor: theme.$grid, linecolor: theme.$muted, tickcolor: theme.$muted, ticks: "outside",
      ticklen: 4, showline: true, fixedrange: narrow, ...given,
      title: { standoff: 12, ...given.title, font: { size: narrow ? 12 : 14 } },
    };
  }

  function draw(element, theme, width) {
    const figure = page.figures[element.dataset.figure];
    const narrow = (width ?? element.clientWidth) < NARROW;
    const data = themed(figure.data, theme).map((trace) =>
      trace.type === "scattergl" && !gl ? { ...trace, type: "scatter" } : trace);
    const layout = themed(figure.layout, theme);
    const legend = { ...layout.legend, font: { size: narrow ? 11.5 : 13 } };
    return Plotly.react(element, data, {
      ...layout, legend, width, autosize: width === undefined,
      margin: { l: narrow ? 8 : 16, r: narrow ? 18 : 28, t: 8, b: 8, ...layout.margin },
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: theme.$ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: theme.$paper, bordercolor: theme.$muted, font: { color: theme.$ink }, namelength: -1 },
      xaxis: axis(layout.xaxis, theme, narrow), yaxis: axis(layout.yaxis, theme, narrow),
    }, {
      responsive: true, displayModeBar: false,
      // plotly's own default is 2 on every screen: four times the pixels to draw where the screen has one
      plotGlPixelRatio: Math.min(2, devicePixelRatio),
    });
  }

  const plots = [...document.querySelectorAll(".plot")];
  const drawAll = (theme, width) => {
    if (!window.Plotly) loadPlotly();
    return Promise.all(plots.map((element) => draw(element, theme, width)));
  };
  const current = () => themes[dark.matches ? "dark" : "light"];

  // A hidden page is never painted, and must still be drawn.
  const painted = () => new Promise((next) => {
    if (document.hidden) next();
    else requestAnimationFrame(() => setTimeout(next));
  });
  const loadPlotly = () => {
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
    performance.mark("plotly-loaded");
  };

  // From the top, a frame between two plots: what is seen first is there first, and the page can be scrolled meanwhile.
  const drawInTurn = async () => {
    await painted();
    if (!window.Plotly) loadPlotly();
    for (const element of plots) {
      await draw(element, current());
      await new Promise((next) => { setTimeout(next); });
    }
    document.documentElement.dataset.drawn = "yes";
  };
  drawInTurn();
  dark.addEventListener("change", () => drawAll(current()));
  for (const button of document.querySelectorAll("[data-save]")) {
    const element = document.querySelector(`.plot[data-figure="${button.dataset.save}"]`);
    button.addEventListener("click", () => Plotly.downloadImage(element, {
      format: "svg", filename: `energybench-${button.dataset.save}-${page.kind}`,
      width: element.clientWidth, height: element.clientHeight,
    }));
  }
  let narrow = innerWidth < NARROW;
  addEventListener("resize", () => {
    if (narrow !== innerWidth < NARROW) { narrow = !narrow; drawAll(current()); }
  });
  addEventListener("beforeprint", () => drawAll(themes.print, PRINT_WIDTH));
  addEventListener("afterprint", () => drawAll(current()));
})();
