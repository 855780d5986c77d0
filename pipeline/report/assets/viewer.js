// The viewer: one NiiVue canvas, cases decoded when they are asked for.
"use strict";
(() => {
  const MAP_STOPS = [[72, 21, 104], [153, 39, 96], [221, 81, 58], [251, 155, 6], [252, 255, 164]];
  const MAP_ALPHA = [90, 190, 220, 235, 245];  // the scan shines through low values
  const COLOURS = { mask: [255, 255, 255], label: [86, 180, 233] };
  const INNER = 10, EDGE = 110;  // see viewer.py
  const FILLED = 0.45;  // of the opacity that an outline has
  const CROSSHAIR = 0.6;
  const START = {
    restored: { shown: false, opacity: 1 },
    map: { shown: true, opacity: 0.75 },
    mask: { shown: false, opacity: 1 },
    label: { shown: true, opacity: 1 },
  };
  const PLANES = { planes: "sliceTypeMultiplanar", axial: "sliceTypeAxial",
                   coronal: "sliceTypeCoronal", sagittal: "sliceTypeSagittal" };
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("viewer-data").textContent);
  const settings = { fill: false, above: null, scan: 0, method: data.methods[0], layers: structuredClone(START) };
  let nv = null, current = null, shown = 0, loading = 0, pending = false;

  const round = (value, digits = 3) => String(Number(Number(value).toPrecision(digits)));

  // --- drawing ---------------------------------------------------------------------------------

  function redraw() {  // at most once a frame: a slider sends many events
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; nv.updateGLVolume(); });
  }

  function levels() {
    return MAP_STOPS.map((_, i) => Math.round((255 * i) / (MAP_STOPS.length - 1)));
  }

  function addColours() {
    const channel = (i) => MAP_STOPS.map((stop) => stop[i]);
    const values = { R: channel(0), G: channel(1), B: channel(2), A: [...MAP_ALPHA], I: levels() };
    for (const [key, first] of Object.entries({ R: 72, G: 21, B: 104, A: 0, I: 0 })) values[key].unshift(first);
    values.I[1] = 1;  // level 0, all that lies below the range, is not drawn
    nv.addColormap("anomaly", values);
    nv.addColormap("opaque", { R: [0, 255], G: [0, 255], B: [0, 255], A: [255, 255], I: [0, 255] });
    const stops = MAP_STOPS.map((stop) => `rgb(${stop.join(" ")})`).join(", ");
    $("scale-bar").style.background = `linear-gradient(to right, ${stops})`;
  }

  function labelColours(kind) {
    const [r, g, b] = COLOURS[kind];
    const count = 2 * EDGE;
    // A gap around 0: its colour must not blend with that of its neighbour.
    const alpha = Array.from({ length: count }, (_, i) => (i > (settings.fill ? INNER : EDGE) ? 255 : 0));
    return { R: Array(count).fill(r), G: Array(count).fill(g), B: Array(count).fill(b),
             A: alpha, I: [...alpha.keys()], labels: Array(count).fill("") };
  }

  function opacityOf(layer, index) {
    if (layer.kind === "image") return index === 0 || index === settings.scan ? 1 : 0;
    const setting = settings.layers[layer.kind];
    if (layer.kind === "restored") {  // that of the scan which is shown
      const restored = current.layers.filter((other) => other.kind === "restored");
      if (restored.length > 1 && restored[settings.scan] !== layer) return 0;
    }
    const factor = COLOURS[layer.kind] && settings.fill ? FILLED : 1;
    return setting.shown ? setting.opacity * factor : 0;
  }

  function applySettings() {
    current.layers.forEach((layer, i) => {
      const volume = nv.volumes[i];
      volume.opacity = i === 0 ? 1 : opacityOf(layer, i);
      if (layer.kind === "map" && i > 0) {
        volume.cal_min = settings.above;
        volume.cal_max = Math.max(layer.high, settings.above * 1.001);
      }
      if (COLOURS[layer.kind]) volume.setColormapLabel(labelColours(layer.kind));
    });
    redraw();
  }

  async function decode(layer, first) {
    const colours = { image: first ? "gray" : "opaque", restored: first ? "gray" : "opaque",
                      map: first ? "inferno" : "anomaly" };
    const volume = await niivue.NVImage.loadFromBase64({
      base64: $(layer.volume).textContent,
      name: `${layer.volume}.nii.gz`,
      colormap: colours[layer.kind] || "gray",
      cal_min: layer.low, cal_max: layer.high, trustCalMinMax: false,
    });
    volume.cal_min = layer.low;
    volume.cal_max = layer.high;
    return volume;
  }

  // --- a case ----------------------------------------------------------------------------------

  function chosen(index) {  // a case with the map and mask of the method that is asked for
    const item = data.cases[index];
    if (settings.method === data.methods[0]) return item;
    const other = item.others.find((one) => one.method === settings.method);
    if (!other) {
      const note = `${settings.method} has no map of this case; that of ${data.methods[0]} is shown.`;
      return { ...item, notes: [note, ...item.notes] };
    }
    const own = (kind) => item.layers.filter((layer) => layer.kind === kind);
    return { ...item, ...other, layers: [...own("image"), ...other.layers, ...own("label")] };
  }

  async function show(index, stay = false) {
    const turn = ++loading;
    shown = index;
    const frame = $("frame");
    frame.dataset.state = "loading";
    $("status").textContent = `Loading ${data.cases[index].name} …`;
    describe(index);
    await new Promise((done) => setTimeout(done));  // let the page paint first
    const next = chosen(index);
    const volumes = [];
    for (const [i, layer] of next.layers.entries()) volumes.push(await decode(layer, i === 0));
    if (turn !== loading) return;  // another case was asked for meanwhile
    current = next;
    nv.volumes = volumes;
    nv.back = volumes[0];
    nv.overlays = volumes.slice(1);
    if (settings.scan >= next.layers.filter((layer) => layer.kind === "image").length) settings.scan = 0;
    startAbove();
    buildLayers();
    applySettings();
    nv.updateGLVolume();
    goTo(stay ? null : current.lesion_mm || current.peak_mm);
    $("status").textContent = "";
    frame.dataset.name = current.name;
    frame.dataset.state = "ready";
  }

  function describe(index) {
    const item = chosen(index);
    const method = data.methods.length > 1 ? `${item.method || data.methods[0]}: ` : "";
    document.querySelectorAll("[data-case]").forEach((button) => {
      if (button.hasAttribute("aria-pressed"))
        button.setAttribute("aria-pressed", String(Number(button.dataset.case) === index));
    });
    $("case-title").textContent = item.name;
    $("case-facts").textContent = method + item.facts.map(([name, value]) => `${name} ${value}`).join("  ·  ");
    $("canvas").setAttribute("aria-label",
      `Slices of ${item.name}: ${item.layers.map((layer) => layer.title).join(", ")}`);
    $("case-notes").replaceChildren(...item.notes.map((note) => {
      const p = document.createElement("p");
      p.className = "note";
      p.textContent = note;
      return p;
    }));
    describeFindings(item.findings);
    $("to-peak").disabled = !item.peak_mm;
    $("to-lesion").hidden = !item.lesion_mm;
  }

  function describeFindings(findings) {
    $("findings").hidden = !findings;
    if (!findings) return;
    $("findings-summary").textContent = `Findings: ${findings.summary}.`;
    $("findings-further").textContent = findings.further;
    $("findings-table").hidden = findings.rows.length === 0;
    $("findings-rows").replaceChildren(...findings.rows.map(({ mm, cells }) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text, i) => {
        const cell = document.createElement(i === 0 ? "th" : "td");
        if (i > 0) cell.textContent = text;
        else {
          const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
          button.setAttribute("aria-label", `Go to finding ${text}: ${cells[1]}, ${cells[3]}`);
          cell.scope = "row";
          cell.append(button);
        }
        return cell;
      }));
      row.addEventListener("click", () => {
        if (!current) return;
        document.querySelectorAll("#findings-rows tr").forEach((other) => other.classList.toggle("main", other === row));
        goTo(mm);
      });
      return row;
    }));
  }

  function goTo(mm) {
    if (mm) nv.scene.crosshairPos = nv.mm2frac(mm);
    nv.createOnLocationChange();
    nv.drawScene();
  }

  // --- controls --------------------------------------------------------------------------------

  function startAbove() {
    const map = current.layers.find((layer) => layer.kind === "map");
    $("scale").hidden = !map || current.layers[0] === map;
    if (!map) return;
    if (settings.above === null)
      settings.above = current.threshold > 0 ? 0.75 * Math.min(current.threshold, map.high) : map.high / 4;
    Object.assign($("above"), { max: map.high, step: map.high / 200, value: settings.above });
    $("scale-high").textContent = round(map.high, 2);
    writeAbove();
  }

  function writeAbove() {
    const threshold = current.threshold === null ? "" : ` (mask: ${round(current.threshold, 2)})`;
    $("scale-low").textContent = round(settings.above, 2);
    $("above-value").textContent = round(settings.above, 2) + threshold;
  }

  function buildLayers() {
    const images = current.layers.filter((layer) => layer.kind === "image");
    $("scan-row").hidden = images.length < 2;
    $("scan").replaceChildren(...images.map((layer, i) => new Option(layer.title, i, false, i === settings.scan)));
    $("fill-row").hidden = !current.layers.some((layer) => COLOURS[layer.kind]);
    const kinds = [...new Set(current.layers.slice(1).map((layer) => layer.kind))];
    $("layers").replaceChildren(...kinds.filter((kind) => kind !== "image").map(layerRow));
  }

  function layerRow(kind) {
    const setting = settings.layers[kind];
    const own = current.layers.filter((layer) => layer.kind === kind);
    const title = own.length > 1 ? own[0].title.split(" ")[0] : own[0].title;
    const row = document.createElement("div");
    row.className = "layer";
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"),
      { type: "checkbox", id: `show-${kind}`, checked: setting.shown });
    const swatch = document.createElement("span");
    swatch.className = `swatch swatch-${kind}`;
    label.append(box, swatch, title);
    const slider = Object.assign(document.createElement("input"),
      { type: "range", id: `opacity-${kind}`, min: 0, max: 1, step: 0.05, value: setting.opacity });
    slider.setAttribute("aria-label", `Opacity: ${title}`);
    box.addEventListener("change", () => { setting.shown = box.checked; applySettings(); });
    slider.addEventListener("input", () => {
      setting.opacity = Number(slider.value);
      setting.shown = box.checked = true;
      applySettings();
    });
    row.append(label, slider);
    return row;
  }

  function valueText(layer, value) {
    if (layer.kind === "mask") return value > 0 ? "yes" : "no";
    if (layer.kind === "label") return value > 0 ? String(Math.round(value) - (value > EDGE ? EDGE : INNER)) : "none";
    if (layer.kind === "map" && value >= layer.high * 0.998) return `≥ ${round(layer.high)}`;
    return round(value);
  }

  function readOut(location) {
    if (!current || !location.values.length) return;
    ["x", "y", "z"].forEach((axis, i) => {
      $(`position-${axis}`).value = location.frac[i];
      $(`position-${axis}-mm`).textContent = `${location.mm[i].toFixed(0)} mm`;
    });
    const lines = current.layers.flatMap((layer, i) => {
      const value = location.values[i];
      if (!value) return [];
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = layer.title;
      text.textContent = valueText(layer, value.value);
      return [term, text];
    });
    $("values").replaceChildren(...lines);
  }

  function moveByKey(event) {
    const steps = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowDown: [0, -1, 0],
                    ArrowUp: [0, 1, 0], PageDown: [0, 0, -1], PageUp: [0, 0, 1] };
    const step = steps[event.key];
    if (!step || !current) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const flip = nv.opts.isRadiologicalConvention ? -1 : 1;  // left on the screen stays left
    nv.moveCrosshairInVox(step[0] * flip, step[1], step[2]);
  }

  function connect() {
    document.addEventListener("click", (event) => {
      const target = event.target.closest("[data-case]");
      if (!target) return;
      event.preventDefault();
      if (!target.matches("button.case")) $("viewer").scrollIntoView();
      show(Number(target.dataset.case));
    });
    $("frame").addEventListener("keydown", moveByKey, true);
    document.querySelectorAll("input[name=plane]").forEach((input) =>
      input.addEventListener("change", () => nv.setSliceType(nv[PLANES[input.value]])));
    document.querySelectorAll("[data-axis]").forEach((slider) =>
      slider.addEventListener("input", () => {
        nv.scene.crosshairPos[slider.dataset.axis] = Number(slider.value);
        nv.createOnLocationChange();
        nv.drawScene();
      }));
    $("above").addEventListener("input", () => {
      settings.above = Number($("above").value);
      writeAbove();
      applySettings();
    });
    $("method")?.addEventListener("change", () => {
      Object.assign(settings, { method: $("method").value, above: null });
      show(shown, true);
    });
    $("fill").addEventListener("change", () => { settings.fill = $("fill").checked; applySettings(); });
    $("scan").addEventListener("change", () => { settings.scan = Number($("scan").value); applySettings(); });
    $("to-peak").addEventListener("click", () => goTo(current.peak_mm));
    $("to-lesion").addEventListener("click", () => goTo(current.lesion_mm));
    $("crosshair").addEventListener("change", () => nv.setCrosshairWidth($("crosshair").checked ? CROSSHAIR : 0));
    $("radiological").addEventListener("change", () =>
      nv.setRadiologicalConvention($("radiological").checked));
  }

  function order() {
    const select = $("order");
    if (!select) return;
    const apply = () => {
      const [key, direction] = select.value.split(":");
      const worth = (i) => data.cases[i].keys[key];
      const index = (item) => Number(item.firstElementChild.dataset.case);
      const items = [...$("cases").children].sort((a, b) => {
        const [u, v] = [worth(index(a)), worth(index(b))];
        const sign = direction === "up" ? 1 : -1;
        if (u === null || v === null) return (u === null) - (v === null);
        return typeof u === "string" ? sign * u.localeCompare(v) : sign * (u - v);
      });
      $("cases").replaceChildren(...items);
    };
    select.addEventListener("change", apply);
    apply();
  }

  async function start() {
    order();
    if (!document.createElement("canvas").getContext("webgl2")) {
      $("frame").dataset.state = "failed";
      $("status").textContent = "This browser has no WebGL 2, which the viewer needs; the volumes lie beside this page.";
      return;
    }
    nv = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.9, 0.9, 0.9, 0.6], crosshairWidth: CROSSHAIR, crosshairWidthUnit: "mm",
      fontColor: [0.85, 0.85, 0.85, 1], dragAndDropEnabled: false, isColorbar: false,
      multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS, multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID,
      isRadiologicalConvention: true, showAllOrientationMarkers: true,
      scrollRequiresFocus: true, isResizeCanvas: true, logLevel: "error", loadingText: "",
      multiplanarEqualSize: false, multiplanarPadPixels: 4, isOrientationTextVisible: true,
    });
    await nv.attachToCanvas($("canvas"));
    nv.onLocationChange = readOut;
    nv.setSliceType(nv.sliceTypeMultiplanar);
    addColours();
    connect();
    const first = $("cases").querySelector("[data-case]");
    await show(first ? Number(first.dataset.case) : 0);
  }

  function failed(error) {
    $("frame").dataset.state = "failed";
    $("status").textContent = `The viewer could not start: ${error.message || error}`;
    throw error;
  }

  // After the page is there, so that nobody waits for a volume to read a table.
  window.addEventListener("load", () => setTimeout(() => start().catch(failed)));
})();
