// Ask for a patient: a place in a brain, sliders, and what came of it in a viewer.
"use strict";

const studio = (() => {
  const ROWS = {
    volume_ml: "volume (mL)", centroid_x_mm: "place, x (mm)", centroid_y_mm: "place, y (mm)",
    centroid_z_mm: "place, z (mm)", sphericity: "sphericity",
  };
  const viewers = {};
  const made = new Map();
  const element = (id) => document.getElementById(id);
  const amount = (id) => Number(element(id).value);
  const place = () => ["x", "y", "z"].map(amount);
  // 1 to 200 mL, as far from each other as their logarithms.
  const volume = () => Number((200 ** (amount("volume") / 100)).toPrecision(2));

  function wish() {
    return {
      volume_ml: volume(), centroid_mm: place(), sphericity: amount("sphericity") / 100,
      guidance: amount("guidance"), seed: amount("seed"),
    };
  }

  async function answer(address, body) {
    const response = await fetch(address, body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error((await response.text()).trim());
    return response.json();
  }

  // Of several checks on their way only the last one counts, and a slider in motion asks for none.
  let checks = 0;
  async function changed() {
    element("volume-text").textContent = `${volume()} mL`;
    element("sphericity-text").textContent = (amount("sphericity") / 100).toFixed(2);
    element("guidance-text").textContent = amount("guidance");
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
    patientViewer.goTo(viewers.where, place());
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
    rows.push(["draws", "", String(row.attempts)], ["outcome", "", row.outcome]);
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

  // The keys move the cut of the brain, and with it the centre that is asked for.
  function keysOfWhere() {
    const moves = Object.entries(patientViewer.moves(() => [viewers.where]));
    return Object.fromEntries(moves.map(([key, move]) => [key, () => {
      move();
      moved(viewers.where.frac2mm(viewers.where.scene.crosshairPos));
    }]));
  }

  async function start() {
    if (!patientViewer.supported()) throw new Error("This browser has no WebGL2: type the centre in.");
    viewers.where = await patientViewer.create(element("where"), keysOfWhere());
    await patientViewer.show(viewers.where, KNOWN.template, KNOWN.brain, ["#0B5F8A"], "template");
    viewers.where.volumes[1].opacity = 0.15;
    viewers.where.updateGLVolume();
    viewers.where.onLocationChange = (location) => moved(location.mm);
    patientViewer.goTo(viewers.where, place());
  }

  element("modality").replaceChildren(...KNOWN.modalities.map((m) => new Option(m, m)));
  for (const id of ["volume", "sphericity", "guidance", "seed"]) element(id).addEventListener("input", changed);
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
