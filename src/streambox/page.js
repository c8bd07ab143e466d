// Draws the page's charts: unpacks plotly.js, fills in the colours of the style sheet, and draws again when the
// reader's colour scheme changes.
(async () => {
const charts = JSON.parse(document.getElementById("charts").textContent);
const touch = matchMedia("(pointer: coarse)").matches;
let style;

const unpack = async () => {
  const packed = atob(document.getElementById("plotly").textContent);
  const bytes = Uint8Array.from(packed, letter => letter.charCodeAt(0));
  const stream = new Response(bytes).body.pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
};

const paint = (value, key) => {
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(v => paint(v, key)) : value;
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, paint(v, k)]));
  return /color$/i.test(key) && /^--/.test(value) ? style.getPropertyValue(value).trim() : value;
};

const axis = (own, grid) => ({automargin: true, zeroline: false, showgrid: grid, gridcolor: "--rule",
  linecolor: "--rule", tickcolor: "--rule", fixedrange: touch, rangemode: "tozero", ...own,
  title: {font: {size: 12, color: "--quiet"}, standoff: 10, ...own.title}});

const draw = () => {
  style = getComputedStyle(document.documentElement);
  for (const {id, data, layout} of charts) {
    const whole = {hovermode: "x unified", dragmode: touch ? false : "zoom", bargap: 0.15,
      margin: {l: 56, r: 12, t: layout.showlegend === false ? 12 : 34, b: 8},
      paper_bgcolor: "--page", plot_bgcolor: "--page",
      font: {family: "system-ui, sans-serif", size: 12, color: "--quiet"},
      hoverlabel: {bgcolor: "--soft", bordercolor: "--rule", font: {color: "--text", size: 12}},
      ...layout, legend: {orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
        traceorder: "normal", font: {color: "--text"}},
      xaxis: axis(layout.xaxis, false), yaxis: axis(layout.yaxis, true)};
    Plotly.react(id, paint(data), paint(whole), {responsive: true, displayModeBar: false});
  }
};

try {
  await unpack();
} catch (error) {
  const why = "The pictures need a browser of 2023 or later: " + error;
  for (const box of document.querySelectorAll(".chart")) box.replaceChildren(why);
  return;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
document.documentElement.dataset.drawn = charts.length;
})();
