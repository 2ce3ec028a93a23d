// Two patients side by side, which move together. Volumes are loaded as scripts, since a page that was
// opened from disk may not fetch files.
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
          `The patients' volumes are missing (${patient.file}): archives of runs do not contain them.`));
        document.head.append(script);
      });
    }
    return patient.volumes;
  }

  // One after another, so that of two quick choices the later one is shown.
  const turns = { left: Promise.resolve(), right: Promise.resolve() };

  function show(side) {
    turns[side] = turns[side].then(() => showChosen(side)).catch(failed);
    return turns[side];
  }

  async function showChosen(side) {
    const patient = SBLDM[element(`${side}-patient`).value];
    fillLabels(side, patient);
    const label = patient.labels[element(`${side}-label`).selectedIndex];
    const volumes = await volumesOf(patient);
    const colours = JSON.parse(element("viewer").dataset.colours);
    const image = volumes[element("modality").value];
    await patientViewer.show(viewers[side], image, volumes[label.name], colours, patient.name);
    shown[side] = patient;
    setWindow();
    const facts = label.rows ? label : patient;
    element(`${side}-facts`).replaceChildren(patientViewer.table(facts.columns, facts.rows));
    element(side).setAttribute("aria-label",
      `${patient.title}, ${label.title}; arrow keys and page up and down move the cut`);
  }

  // The labels of a patient; the choice is kept if the patient has that label.
  function fillLabels(side, patient) {
    const list = element(`${side}-label`);
    const chosen = list.value;
    fill(list, patient.labels.map((label) => [label.name, label.title]));
    if (patient.labels.some((label) => label.name === chosen)) list.value = chosen;
  }

  // A test patient's reference on the left and an arm's prediction on the right.
  function compare(name, prediction) {
    return started.then(() => showBoth(name, prediction)).catch(failed);
  }

  async function showBoth(name, prediction) {
    const index = SBLDM.findIndex((patient) => patient.name === name);
    for (const [side, label] of [["left", "label"], ["right", prediction]]) {
      element(`${side}-patient`).value = index;
      fillLabels(side, SBLDM[index]);
      element(`${side}-label`).value = label;
      await show(side);
    }
    goToTumour("left");
  }

  // Cuts both through the tumour of this side's patient.
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

  function setConvention() {
    for (const side of SIDES) patientViewer.setConvention(viewers[side], element("convention").value);
  }

  // A window that was drawn or reset with the mouse on one side applies to both.
  function takeWindow(volume) {
    element("low").value = volume.cal_min;
    element("high").value = volume.cal_max;
    setWindow();
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

  function keysOf(side) {
    return {
      ...patientViewer.moves(() => Object.values(viewers)),
      n: () => step(`${side}-patient`, 1), p: () => step(`${side}-patient`, -1),
      l: () => step(`${side}-label`, 1), v: () => step("view", 1),
      c: () => step("convention", 1), m: toggleMask,
    };
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
      viewers[side] = await patientViewer.create(element(side), keysOf(side));
      viewers[side].onIntensityChange = takeWindow;
      element(`${side}-label`).addEventListener("change", () => show(side));
      element(`${side}-patient`).addEventListener("change", () => show(side).then(() => goToTumour(side)));
    }
    viewers.left.broadcastTo(viewers.right, { "2d": true, "3d": true });
    viewers.right.broadcastTo(viewers.left, { "2d": true, "3d": true });
    const synthetic = SBLDM.findIndex((patient) => patient.synthetic);
    element("right-patient").selectedIndex = Math.max(synthetic, 0);
    element("modality").addEventListener("change", () => SIDES.forEach(show));
    element("view").addEventListener("change", setView);
    element("convention").addEventListener("change", setConvention);
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
    note.textContent = "Missing: archives do not contain images of patients.";
    image.closest("a").replaceWith(note);
  }

  for (const image of document.querySelectorAll("figure img")) {
    if (image.complete && !image.naturalWidth) leaveOut(image);
    else image.addEventListener("error", () => leaveOut(image));
  }
  // Marks tables that are wider than their box.
  const cut = new ResizeObserver((entries) => requestAnimationFrame(() => {
    for (const { target } of entries) {
      target.classList.toggle("cut", target.scrollWidth > target.clientWidth + 1);
    }
  }));
  for (const box of document.querySelectorAll(".scroll")) cut.observe(box);

  const started = element("viewer") ? start() : Promise.resolve();
  started.catch(failed);
  return { loaded, viewers, compare };
})();
