// What the report and the local page share: NiiVue, made ready for a patient's volumes.
"use strict";

const patientViewer = (() => {
  const VIEWS = { axial: 0, coronal: 1, sagittal: 2, all: 3, render: 4 };

  function supported() {
    const probe = document.createElement("canvas").getContext("webgl2");
    probe?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(probe);
  }

  async function create(canvas) {
    const viewer = new niivue.Niivue({
      show3Dcrosshair: true, crosshairWidth: 0.4, crosshairWidthUnit: "percent",
      backColor: [0, 0, 0, 1], crosshairColor: [0.4, 0.8, 1, 0.7],
      isRadiologicalConvention: false, isOrientationTextVisible: true, logLevel: "error",
      multiplanarShowRender: 1, multiplanarLayout: 2, dragAndDropEnabled: false, loadingText: "",
    });
    await viewer.attachToCanvas(canvas);
    viewer.setSliceType(VIEWS.all);
    return viewer;
  }

  // Class values 0 (nothing), 1, 2, … in the colours of the figures.
  function colourMap(colours) {
    const channel = (start) => [0, ...colours.map((c) => parseInt(c.slice(start, start + 2), 16))];
    return {
      R: channel(1), G: channel(3), B: channel(5),
      A: [0, ...colours.map(() => 255)], I: [...Array(colours.length + 1).keys()],
      labels: ["", ...colours.map(() => "tumour")],
    };
  }

  function load(base64, name, more = {}) {
    return niivue.NVImage.loadFromBase64({ base64, name: `${name}.nii.gz`, ...more });
  }

  // An image with classes over it, in place of what was shown.
  async function show(viewer, image, label, colours, name) {
    const under = await load(image, name, { colormap: "gray", trustCalMinMax: false });
    const over = await load(label, `${name}-label`);
    while (viewer.volumes.length) viewer.removeVolumeByIndex(0);
    viewer.addVolume(under);
    viewer.addVolume(over);
    over.setColormapLabel(colourMap(colours));
  }

  // Intensities that are black and white, and how much of the classes is seen, 0 to 1.
  function setWindow(viewer, low, high, opacity) {
    if (viewer.volumes.length < 2) return;
    viewer.volumes[0].cal_min = low;
    viewer.volumes[0].cal_max = Math.max(high, low + 1);
    viewer.volumes[1].opacity = opacity;
    viewer.updateGLVolume();
  }

  // Cut through a place in mm.
  function goTo(viewer, place) {
    if (!viewer?.volumes.length) return;
    viewer.scene.crosshairPos = viewer.mm2frac(place);
    viewer.drawScene();
  }

  // Rows of text as a table, of which the first is its head.
  function table(head, rows) {
    const made = document.createElement("table");
    const line = (kind, cells) => {
      const row = document.createElement("tr");
      for (const text of cells) {
        const cell = document.createElement(kind);
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    };
    made.append(line("th", head), ...rows.map((cells) => line("td", cells)));
    return made;
  }

  return { VIEWS, supported, create, show, setWindow, goTo, table };
})();
