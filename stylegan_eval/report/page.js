"use strict";
// Orders x before y by what their cells hold; what holds nothing goes last either way.
const compare = (x, y, numeric, up) => {
  if (x === "" || y === "") return (x === "") - (y === "");
  const sign = numeric ? Number(x) - Number(y) : x.localeCompare(y);
  return up ? sign : -sign;
};
const pressed = (table, cell, act) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...cell.childNodes);
  cell.append(button);
  button.addEventListener("click", () => {
    const up = cell.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    act(up);
  });
};
for (const table of document.querySelectorAll("table")) {
  const heads = table.tHead.rows[0], body = table.tBodies[0];
  for (const head of heads.querySelectorAll("[data-order]")) {
    pressed(table, head, (up) => {
      const key = (row) => row.cells[head.cellIndex].dataset.key ?? "";
      const numeric = head.dataset.order === "number";
      body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b), numeric, up)));
    });
  }
  for (const name of body.querySelectorAll("[data-orders]")) {
    pressed(table, name, (up) => {
      const moving = [...heads.querySelectorAll("[data-moves]")].map((head) => head.cellIndex);
      const key = (at) => name.parentNode.cells[at].dataset.key ?? "";
      const sorted = [...moving].sort((a, b) => compare(key(a), key(b), true, up));
      for (const row of [heads, ...body.rows]) {
        const cells = [...row.cells], next = cells[moving.at(-1) + 1] ?? null;
        for (const at of sorted) row.insertBefore(cells[at], next);
      }
    });
  }
}
