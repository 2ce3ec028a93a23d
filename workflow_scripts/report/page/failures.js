// The table of test patients: sorted by a click on a heading, filtered by arm and region, and
// linked to the viewer.
"use strict";

(() => {
  const table = document.getElementById("failures");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const selects = ["arm", "region"].map((name) => [name, document.getElementById(`failures-${name}`)])
    .filter(([, select]) => select);
  const keyOf = (row, column) => row.cells[column].dataset.key;

  // Numbers are sorted with the worst first, then with the best first.
  function sort(button) {
    const { column, worst } = button.dataset;
    const head = button.closest("th");
    const first = worst === "high" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    table.querySelectorAll("th[aria-sort]").forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const compare = worst ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
    rows.sort((a, b) => sign * compare(keyOf(a, column), keyOf(b, column)));
    table.tBodies[0].append(...rows);
  }

  function narrow() {
    for (const row of rows) {
      row.hidden = selects.some(([name, select]) => select.value && row.dataset[name] !== select.value);
    }
  }

  document.getElementById("failures-controls").hidden = false;
  for (const button of table.querySelectorAll("button.sort")) button.addEventListener("click", () => sort(button));
  for (const [, select] of selects) select.addEventListener("change", narrow);
  // The link itself leads to the viewer.
  table.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-patient]");
    if (link) sbldm.compare(link.dataset.patient, link.dataset.prediction);
  });
})();
