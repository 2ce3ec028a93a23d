// Two patients side by side, which move together. Volumes come as scripts, since a page that was
// opened from disk may fetch nothing.
"use strict";

const sbldm = (() => {
  const SIDES = ["left", "right"];
  const loading = new Map();
  const viewers = {};
  const shown = {};
  const element = (id) => document.getElementById(id);
  const amount = (id) => Number(element(id).value);

  function loaded(name, volumes) {
    loading.get(name)(volumes);
  }

  function volumesOf(patient) {
    if (!patient.volumes) {
      patient.volumes = new Promise((resolve, reject) => {
        loading.set(patient.name, resolve);
        const script = document.createElement("script");
        script.src = patient.file;
        script.onerror = () => reject(new Error(
          `The patients' volumes are not here (${patient.file}): archives of runs leave them out.`));
        document.head.append(script);
      });
    }
    return patient.volumes;
  }

  // One after the other: of two quick choices the later one is shown last.
  const turns = { left: Promise.resolve(), right: Promise.resolve() };

  function show(side) {
    turns[side] = turns[side].then(() => showChosen(side)).catch(failed);
    return turns[side];
  }

  async function showChosen(side) {
    const patient = SBLDM[element(`${side}-patient`).value];
    const volumes = await volumesOf(patient);
    const colours = JSON.parse(element("viewer").dataset.colours);
    const image = volumes[element("modality").value];
    await patientViewer.show(viewers[side], image, volumes.label, colours, patient.name);
    shown[side] = patient;
    setWindow();
    element(`${side}-facts`).replaceChildren(patientViewer.table(patient.columns, patient.rows));
    element(side).setAttribute("aria-label", `${patient.title}; arrow keys and page up and down move the cut`);
  }

  // Both cut where this side's patient has the tumour.
  function goToTumour(side) {
    const centre = shown[side]?.centre;
    if (centre) Object.values(viewers).forEach((viewer) => patientViewer.goTo(viewer, centre));
  }

  function setWindow() {
    for (const side of SIDES) {
      patientViewer.setWindow(viewers[side], amount("low"), amount("high"), amount("opacity") / 100);
    }
  }

  function setView() {
    const view = patientViewer.VIEWS[element("view").value];
    for (const side of SIDES) viewers[side].setSliceType(view);
  }

  function move(x, y, z) {
    for (const side of SIDES) viewers[side].moveCrosshairInVox(x, y, z);
  }

  function step(id, by) {
    const list = element(id);
    list.selectedIndex = (list.selectedIndex + by + list.options.length) % list.options.length;
    list.dispatchEvent(new Event("change"));
  }

  function toggleMask() {
    element("opacity").value = amount("opacity") ? 0 : 45;
    setWindow();
  }

  function onKey(side, event) {
    const actions = {
      ArrowLeft: () => move(-1, 0, 0), ArrowRight: () => move(1, 0, 0),
      ArrowDown: () => move(0, -1, 0), ArrowUp: () => move(0, 1, 0),
      PageDown: () => move(0, 0, -1), PageUp: () => move(0, 0, 1),
      n: () => step(`${side}-patient`, 1), p: () => step(`${side}-patient`, -1),
      v: () => step("view", 1), m: toggleMask,
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    actions[event.key]();
  }

  function fill(list, names) {
    list.replaceChildren(...names.map(([value, text]) => new Option(text, value)));
  }

  async function start() {
    if (!SBLDM.length) throw new Error("This run has no patients to show.");
    if (!patientViewer.supported()) {
      throw new Error("This browser has no WebGL2, which the viewer needs: the pictures below show patients too.");
    }
    fill(element("modality"), SBLDM[0].modalities.map((m) => [m, m]));
    for (const side of SIDES) {
      fill(element(`${side}-patient`), SBLDM.map((patient, index) => [index, patient.title]));
      viewers[side] = await patientViewer.create(element(side));
      element(side).addEventListener("keydown", (event) => onKey(side, event), true);
      element(`${side}-patient`).addEventListener("change", () => show(side).then(() => goToTumour(side)));
    }
    viewers.left.broadcastTo(viewers.right, { "2d": true, "3d": true });
    viewers.right.broadcastTo(viewers.left, { "2d": true, "3d": true });
    const synthetic = SBLDM.findIndex((patient) => patient.synthetic);
    element("right-patient").selectedIndex = Math.max(synthetic, 0);
    element("modality").addEventListener("change", () => SIDES.forEach(show));
    element("view").addEventListener("change", setView);
    for (const id of ["opacity", "low", "high"]) element(id).addEventListener("input", setWindow);
    for (const side of SIDES) await show(side);
    goToTumour("right");
    element("viewer-note").hidden = true;
    element("viewer").dataset.ready = "yes";
  }

  function failed(error) {
    element("viewer").classList.add("failed");
    element("viewer-note").textContent = error.message;
  }

  // An archive of a run has no images of patients.
  function leaveOut(image) {
    const note = document.createElement("p");
    note.className = "hint";
    note.textContent = "Not here: images of patients are left out of archives.";
    image.closest("a").replaceWith(note);
  }

  for (const image of document.querySelectorAll("figure img")) {
    if (image.complete && !image.naturalWidth) leaveOut(image);
    else image.addEventListener("error", () => leaveOut(image));
  }
  if (element("viewer")) start().catch(failed);
  return { loaded, viewers };
})();
