// The viewer: two patients side by side, which move together. Volumes come as scripts, since a page
// that was opened from disk may fetch nothing.
"use strict";

const sbldm = (() => {
  const SIDES = ["left", "right"];
  const loading = new Map();
  const viewers = {};
  const shown = {};
  const element = (id) => document.getElementById(id);

  function loaded(name, volumes) {
    loading.get(name)(volumes);
  }

  // Both cut where this side's patient has the tumour.
  function goToTumour(side) {
    const centre = shown[side].centre;
    if (!centre) return;
    for (const viewer of Object.values(viewers)) {
      if (!viewer.volumes.length) continue;
      viewer.scene.crosshairPos = viewer.mm2frac(centre);
      viewer.drawScene();
    }
  }

  function volumesOf(patient) {
    if (!patient.volumes) {
      patient.volumes = new Promise((resolve, reject) => {
        loading.set(patient.name, resolve);
        const script = document.createElement("script");
        script.src = patient.file;
        script.onerror = () => reject(new Error(`The patients' volumes are not here (${patient.file}): archives of runs leave them out.`));
        document.head.append(script);
      });
    }
    return patient.volumes;
  }

  async function show(side) {
    const patient = SBLDM[element(`${side}-patient`).value];
    const modality = element("modality").value;
    const volumes = await volumesOf(patient);
    const { NVImage } = niivue;
    const image = await NVImage.loadFromBase64({
      base64: volumes[modality], name: `${patient.name}-${modality}.nii.gz`,
      colormap: "gray", cal_min: Number(element("low").value), cal_max: Number(element("high").value),
      trustCalMinMax: false,
    });
    const label = await NVImage.loadFromBase64({ base64: volumes.label, name: `${patient.name}-label.nii.gz` });
    const viewer = viewers[side];
    while (viewer.volumes.length) viewer.removeVolumeByIndex(0);
    viewer.addVolume(image);
    viewer.addVolume(label);
    label.setColormapLabel(classColours());
    shown[side] = patient;
    setWindow();
    tell(side, patient);
  }

  // Class values 0 (nothing), 1, 2, … in the colours of the figures.
  function classColours() {
    const colours = JSON.parse(element("viewer").dataset.colours);
    const channel = (start) => [0, ...colours.map((c) => parseInt(c.slice(start, start + 2), 16))];
    return {
      R: channel(1), G: channel(3), B: channel(5),
      A: [0, ...colours.map(() => 255)], I: [...Array(colours.length + 1).keys()],
      labels: ["", ...colours.map(() => "tumour")],
    };
  }

  function setWindow() {
    for (const side of SIDES) {
      const viewer = viewers[side];
      if (viewer.volumes.length < 2) continue;
      viewer.volumes[0].cal_min = Number(element("low").value);
      viewer.volumes[0].cal_max = Math.max(Number(element("high").value), Number(element("low").value) + 1);
      viewer.volumes[1].opacity = Number(element("opacity").value) / 100;
      viewer.updateGLVolume();
    }
  }

  function setView() {
    const types = { axial: 0, coronal: 1, sagittal: 2, all: 3, render: 4 };
    for (const side of SIDES) viewers[side].setSliceType(types[element("view").value]);
  }

  function tell(side, patient) {
    const table = document.createElement("table");
    const columns = patient.columns;
    const row = (kind, cells) => {
      const line = document.createElement("tr");
      for (const text of cells) {
        const cell = document.createElement(kind);
        cell.textContent = text;
        line.append(cell);
      }
      return line;
    };
    table.append(row("th", columns), ...patient.rows.map((cells) => row("td", cells)));
    element(`${side}-facts`).replaceChildren(table);
    element(side).setAttribute("aria-label", `${patient.title}; arrow keys and page up and down move the cut`);
  }

  function move(x, y, z) {
    for (const side of SIDES) viewers[side].moveCrosshairInVox(x, y, z);
  }

  function step(id, by) {
    const list = element(id);
    list.selectedIndex = (list.selectedIndex + by + list.options.length) % list.options.length;
    list.dispatchEvent(new Event("change"));
  }

  function onKey(side, event) {
    const actions = {
      ArrowLeft: () => move(-1, 0, 0), ArrowRight: () => move(1, 0, 0),
      ArrowDown: () => move(0, -1, 0), ArrowUp: () => move(0, 1, 0),
      PageDown: () => move(0, 0, -1), PageUp: () => move(0, 0, 1),
      n: () => step(`${side}-patient`, 1), p: () => step(`${side}-patient`, -1),
      v: () => step("view", 1),
      m: () => { element("opacity").value = Number(element("opacity").value) ? 0 : 45; setWindow(); },
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
    const probe = document.createElement("canvas").getContext("webgl2");
    if (!probe) throw new Error("This browser has no WebGL2, which the viewer needs: the pictures below show patients too.");
    probe.getExtension("WEBGL_lose_context")?.loseContext();
    fill(element("modality"), SBLDM[0].modalities.map((m) => [m, m]));
    for (const side of SIDES) {
      fill(element(`${side}-patient`), SBLDM.map((patient, index) => [index, patient.title]));
      const viewer = new niivue.Niivue({
        show3Dcrosshair: true, crosshairWidth: 0.4, crosshairWidthUnit: "percent", backColor: [0, 0, 0, 1], crosshairColor: [0.4, 0.8, 1, 0.7],
        isRadiologicalConvention: false, isOrientationTextVisible: true, logLevel: "error",
        multiplanarShowRender: 1, multiplanarLayout: 2, dragAndDropEnabled: false, loadingText: "",
      });
      viewers[side] = viewer;
      await viewer.attachToCanvas(element(side));
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
    setView();
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
