// Shared by the report and the local page: NiiVue, set up for a patient's volumes.
"use strict";

const patientViewer = (() => {
  const VIEWS = { axial: 0, coronal: 1, sagittal: 2, all: 3, render: 4 };
  // Voxels along x (less is to the patient's left), y and z by which a key moves the cut, if the
  // patient's left is on the left.
  const MOVES = {
    ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowDown: [0, -1, 0], ArrowUp: [0, 1, 0],
    PageDown: [0, 0, -1], PageUp: [0, 0, 1],
  };

  function supported() {
    const probe = document.createElement("canvas").getContext("webgl2");
    probe?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(probe);
  }

  // A viewer without NiiVue's own keys, which would change only one of two viewers.
  // ``actions`` maps keys to functions of the page.
  async function create(canvas, actions) {
    const viewer = new niivue.Niivue({
      show3Dcrosshair: true, crosshairWidth: 0.4, crosshairWidthUnit: "percent",
      backColor: [0, 0, 0, 1], crosshairColor: [0.4, 0.8, 1, 0.7],
      isRadiologicalConvention: true, isOrientationTextVisible: true, logLevel: "error",
      showAllOrientationMarkers: true, fontColor: [1, 1, 1, 1], fontMinPx: 17,
      multiplanarShowRender: 1, multiplanarLayout: 2, dragAndDropEnabled: false, loadingText: "",
    });
    for (const kind of ["keydown", "keyup"]) {
      canvas.addEventListener(kind, (event) => onKey(event, actions), true);
    }
    // Only the viewer with the focus moves the other one.
    canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
    await viewer.attachToCanvas(canvas);
    embolden(viewer);
    viewer.setSliceType(VIEWS.all);
    return viewer;
  }

  function onKey(event, actions) {
    event.stopImmediatePropagation();
    const action = actions[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !action) return;
    event.preventDefault();
    if (event.type === "keydown") action();
  }

  // NiiVue's only font is not bold: each letter is drawn three times, slightly offset. L and R stand
  // off the edges, where those of two slices would touch.
  function embolden(viewer) {
    const { drawText, drawTextLeft, drawTextRight } = viewer;
    viewer.drawText = ([x, y], ...more) => {
      for (const shift of [-0.05, 0, 0.05]) drawText.call(viewer, [x + shift * viewer.fontPx, y], ...more);
    };
    viewer.drawTextLeft = ([x, y], ...more) => drawTextLeft.call(viewer, [x - 0.3 * viewer.fontPx, y], ...more);
    viewer.drawTextRight = ([x, y], ...more) => drawTextRight.call(viewer, [x + 0.3 * viewer.fontPx, y], ...more);
  }

  // Moves the cut of these viewers on a key; left and right are those of the picture.
  // The first one is moved and the others follow, unless one has the focus and has moved them.
  function moves(viewers) {
    const actions = Object.entries(MOVES).map(([key, [x, y, z]]) => [key, () => {
      const [first, ...others] = viewers();
      first.moveCrosshairInVox(first.opts.isRadiologicalConvention ? -x : x, y, z);
      const place = first.frac2mm(first.scene.crosshairPos).slice(0, 3);
      for (const viewer of others) goTo(viewer, place);
    }]);
    return Object.fromEntries(actions);
  }

  // Radiological: the patient's right is on the picture's left. Neurological: the other way round.
  function setConvention(viewer, name) {
    viewer.setRadiologicalConvention(name === "radiological");
  }

  // Class values 0 (background), 1, 2, … in the colours of the figures.
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

  // Shows an image with an overlay of classes, in place of the current one.
  async function show(viewer, image, label, colours, name) {
    const under = await load(image, name, { colormap: "gray", trustCalMinMax: false });
    const over = await load(label, `${name}-label`);
    while (viewer.volumes.length) viewer.removeVolumeByIndex(0);
    viewer.addVolume(under);
    viewer.addVolume(over);
    over.setColormapLabel(colourMap(colours));
  }

  // Sets the intensities of black and white, and the opacity of the classes, 0 to 1.
  function setWindow(viewer, low, high, opacity) {
    if (viewer.volumes.length < 2) return;
    viewer.volumes[0].cal_min = low;
    viewer.volumes[0].cal_max = Math.max(high, low + 1);
    viewer.volumes[1].opacity = opacity;
    viewer.updateGLVolume();
  }

  // Cuts through a point in mm.
  function goTo(viewer, place) {
    if (!viewer?.volumes.length) return;
    viewer.scene.crosshairPos = viewer.mm2frac(place);
    viewer.drawScene();
  }

  // Rows of text as a table; the first row is the head.
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

  return { VIEWS, supported, create, moves, setConvention, show, setWindow, goTo, table };
})();
