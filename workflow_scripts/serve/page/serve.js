// Request a patient: a point in a brain, sliders, and the result in a viewer.
"use strict";

const studio = (() => {
  const ROWS = {
    volume_ml: "volume (mL)", centroid_x_mm: "centroid, x (mm)",
    centroid_y_mm: "centroid, y (mm)", centroid_z_mm: "centroid, z (mm)", sphericity: "sphericity",
  };
  // The outcomes of a request in words; all but the first are warnings.
  const OUTCOMES = {
    met: "The tumour is as requested.",
    volume: "The tumour's volume is not as requested in any draw.",
    place: "The tumour's centre is not as requested in any draw.",
    torn: "The brain is torn into pieces in all draws: do not use this patient.",
    holes: "The label had large holes in all draws; they were filled.",
  };
  const viewers = {};
  const made = new Map();
  const element = (id) => document.getElementById(id);
  const amount = (id) => Number(element(id).value);
  const centroid = () => ["x", "y", "z"].map(amount);
  // The slider covers the volumes of the training tumours on a logarithmic scale.
  const [smallest, largest] = KNOWN.limits.volume_ml;
  function volume() {
    const exact = smallest * (largest / smallest) ** (amount("volume") / 100);
    return Math.min(Math.max(Number(exact.toPrecision(2)), smallest), largest);
  }

  function sphericity() {
    const [low, high] = KNOWN.limits.sphericity;
    return Number((low + (high - low) * amount("sphericity") / 100).toFixed(2));
  }

  const anatomy = () => element("anatomy")?.value ?? "phantom";

  function wish() {
    return {
      volume_ml: volume(), centroid_mm: centroid(), sphericity: sphericity(),
      anatomy: anatomy(), seed: amount("seed"),
    };
  }

  async function answer(address, body) {
    const response = await fetch(address, body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error((await response.text()).trim());
    return response.json();
  }

  // Only the last of several pending checks counts, and a moving slider triggers none.
  let checks = 0;
  async function changed() {
    element("volume-text").textContent = `${volume()} mL`;
    element("sphericity-text").textContent = sphericity().toFixed(2);
    const number = ++checks;
    element("make").disabled = true;
    await new Promise((resolve) => setTimeout(resolve, 150));
    if (number !== checks) return;
    let reason;
    try {
      ({ reason } = await answer("check", wish()));
    } catch (error) {
      reason = error.message;
    }
    if (number !== checks) return;
    element("make").disabled = Boolean(reason);
    element("reason").textContent = reason ?? "";
  }

  function moved(mm) {
    ["x", "y", "z"].forEach((axis, index) => { element(axis).value = Math.round(mm[index]); });
    changed();
  }

  function typed() {
    if (viewers.where) patientViewer.goTo(viewers.where, centroid());
    changed();
  }

  async function ask(event) {
    event.preventDefault();
    const bar = element("progress");
    bar.hidden = false;
    try {
      const { number } = await answer("requests", wish());
      await follow(number, bar);
    } catch (error) {
      element("state").textContent = error.message;
    } finally {
      bar.hidden = true;
    }
  }

  async function follow(number, bar) {
    let found;
    for (;;) {
      found = await answer(`requests/${number}`);
      bar.value = found.progress;
      element("state").textContent = found.state === "waiting" ? `waits for ${found.before}` : found.state;
      if (found.state === "failed") throw new Error(`${found.name}: ${found.reason}`);
      if (found.state === "done") break;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    const volumes = await answer(`requests/${number}/volumes`);
    made.set(String(number), { ...found, volumes });
    element("patient").append(new Option(found.name, number, false, true));
    element("result").hidden = false;
    await show();
    element("result").scrollIntoView({ block: "nearest" });
  }

  async function show() {
    const number = element("patient").value;
    const { name, row, volumes } = made.get(number);
    element("download").href = `requests/${number}/patient.zip`;
    const digits = (key) => (key === "sphericity" ? 2 : 1);
    const rows = Object.entries(ROWS).map(([key, text]) => [
      text, ...["requested", "measured"].map((side) => row[`${side}_${key}`].toFixed(digits(key)))]);
    rows.push(["draws", "", String(row.attempts)]);
    const outcomes = new Set([row.outcome]);
    if (row.measured_brain_pieces > 1) outcomes.add("torn");
    element("outcome").textContent = [...outcomes].map((name) => OUTCOMES[name] ?? name).join(" ");
    element("outcome").classList.toggle("banner", row.outcome !== "met" || outcomes.size > 1);
    element("facts").replaceChildren(patientViewer.table(["tumour", "requested", "measured"], rows));
    if (patientViewer.supported()) {
      viewers.made ??= await patientViewer.create(element("made"), patientViewer.moves(() => [viewers.made]));
      setConvention();
      const image = volumes[element("modality").value];
      await patientViewer.show(viewers.made, image, volumes.label, KNOWN.colours, name);
      setWindow();
      patientViewer.goTo(viewers.made, ["x", "y", "z"].map((axis) => row[`measured_centroid_${axis}_mm`]));
    }
    element("result").dataset.shown = number;
  }

  function setWindow() {
    if (viewers.made) patientViewer.setWindow(viewers.made, amount("low"), amount("high"), amount("opacity") / 100);
  }

  function setConvention() {
    for (const viewer of Object.values(viewers)) {
      patientViewer.setConvention(viewer, element("convention").value);
    }
  }

  // The keys move the cut of the brain, and with it the requested centre.
  function keysOfWhere() {
    const moves = Object.entries(patientViewer.moves(() => [viewers.where]));
    return Object.fromEntries(moves.map(([key, move]) => [key, () => {
      move();
      moved(viewers.where.frac2mm(viewers.where.scene.crosshairPos));
    }]));
  }

  // The brain for the tumour.
  async function showBrain() {
    const { image, brain } = KNOWN.anatomies[anatomy()];
    await patientViewer.show(viewers.where, image, brain, ["#0B5F8A"], "template");
    viewers.where.volumes[1].opacity = 0.15;
    viewers.where.updateGLVolume();
  }

  async function chooseBrain() {
    if (viewers.where) await showBrain();
    typed();
  }

  async function start() {
    if (!patientViewer.supported()) throw new Error("This browser has no WebGL2: type the centre in.");
    viewers.where = await patientViewer.create(element("where"), keysOfWhere());
    await showBrain();
    viewers.where.onLocationChange = (location) => moved(location.mm);
    patientViewer.goTo(viewers.where, centroid());
  }

  element("limits").textContent = `The model was trained on tumours of ${smallest} to ${largest} mL: `
    + "no others can be chosen.";
  element("anatomy")?.addEventListener("change", chooseBrain);
  element("modality").replaceChildren(...KNOWN.modalities.map((m) => new Option(m, m)));
  for (const id of ["volume", "sphericity", "seed"]) element(id).addEventListener("input", changed);
  for (const axis of ["x", "y", "z"]) element(axis).addEventListener("change", typed);
  for (const id of ["opacity", "low", "high"]) element(id).addEventListener("input", setWindow);
  element("convention").addEventListener("change", setConvention);
  for (const id of ["patient", "modality"]) element(id).addEventListener("change", show);
  element("wish").addEventListener("submit", ask);
  start()
    .catch((error) => { element("where-hint").textContent = error.message; })
    .then(changed)
    .then(() => { document.body.dataset.ready = "yes"; });
  return { viewers };
})();
