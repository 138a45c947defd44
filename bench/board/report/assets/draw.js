// How figures are drawn and saved: Vega-Lite in the colours of the page, or of paper.
"use strict";

window.bench = window.bench ?? {};

(() => {
  const PLACES = { "#010101": "--ink", "#fefefe": "--paper", "#808080": "--soft" }; // what stands for them in figures
  const PAPER = { "#010101": "#000000", "#fefefe": "#ffffff", "#808080": "#666666" };

  function coloured(spec, colours) {
    const style = getComputedStyle(document.documentElement);
    let text = JSON.stringify(spec);
    for (const [place, name] of Object.entries(PLACES)) {
      text = text.replaceAll(place, colours ? colours[place] : style.getPropertyValue(name).trim() || "currentColor");
    }
    return JSON.parse(text);
  }

  /** Draw a specification; returns Vega's view of it. Expressions are interpreted, for the pages allow no eval. */
  bench.draw = async (element, spec, colours = null) => {
    const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" }, logLevel: 1 };
    return (await window.vegaEmbed(element, coloured(spec, colours), options)).view;
  };

  /** A figure as it is saved: with a legend of its methods where a page has its chips, those set apart hollow in it.
   * Figures that name methods themselves (`usermeta.named`) stay as they are, and so do scales of all else. */
  bench.alone = (spec, picked = []) => {
    const params = (spec.params ?? []).map((param) => (param.name === "picked" ? { ...param, value: picked } : param));
    if (spec.usermeta?.named) return { ...spec, params };
    const judged = (spec.data?.values ?? []).filter((row) => "apart" in row);
    const filled = new Set(judged.filter((row) => !row.apart).map((row) => row.method));
    const hollow = new Set(judged.map((row) => row.method).filter((method) => !filled.has(method)));
    const legend = { title: null, symbolOpacity: 1, labelLimit: 240, encoding: { symbols: { opacity: { value: 1 } } } };
    const marks = (spec.layer ?? []).some((one) => one.encoding?.fill?.field === "method"); // then lines need none of their own
    const scale = (channel, { domain, range }) => ({ domain, range: range.map((of, i) => (channel === "fill" && hollow.has(domain[i]) ? "transparent" : of)) });
    const told = ([channel, of]) => {
      if (of?.legend !== null || of.field !== "method" || (marks && channel === "color")) return [channel, of];
      return [channel, { ...of, legend, scale: scale(channel, of.scale) }];
    };
    const layer = (spec.layer ?? []).map((one) => ({ ...one, encoding: Object.fromEntries(Object.entries(one.encoding ?? {}).map(told)) }));
    return { ...spec, layer, params, ...(marks && { resolve: { legend: { color: "independent" } } }) };
  };

  /** A figure as SVG in the colours of paper, at the width of a column. */
  bench.svg = async (figure, picked = []) => {
    const aside = document.createElement("div");
    aside.style.cssText = "position: absolute; left: -9999px; width: 640px";
    document.body.append(aside);
    const view = await bench.draw(aside, { ...bench.alone(figure, picked), background: "white" }, PAPER);
    const text = await view.toSVG();
    view.finalize();
    aside.remove();
    return text;
  };

  /** The rows of a figure as they are saved: without what only drawing needs (`usermeta.internal`), `kind` as `row`. */
  bench.rows = (spec) => {
    const internal = spec.usermeta?.internal ?? [];
    const kept = (row) => Object.entries(row).filter(([name]) => !internal.includes(name));
    return spec.data.values.map((row) => Object.fromEntries(kept(row).map(([name, value]) => [name === "kind" ? "row" : name, value])));
  };

  /** Rows as CSV; a text that a spreadsheet would take for a formula begins with an apostrophe. */
  bench.csv = (rows) => {
    const names = [...new Set(rows.flatMap(Object.keys))];
    const plain = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : `${value ?? ""}`);
    const field = (value) => (/[",\n\r]/.test(plain(value)) ? `"${plain(value).replaceAll('"', '""')}"` : plain(value));
    return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(field).join(",")).join("\n") + "\n";
  };

  /** Hand a text to whoever reads the page as a file. */
  bench.save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
})();
