"use strict";
// Thresholds of a slider, and tables copied as CSV. Everything on the page can be read without it.
document.documentElement.classList.add("script");

for (const box of document.querySelectorAll("[data-thresholds]")) {
  const rows = JSON.parse(box.dataset.thresholds);
  const input = box.querySelector("input");
  const percent = (part, whole) => (whole ? ((100 * part) / whole).toFixed(1) + "%" : "undefined");
  const show = () => {
    const [threshold, tp, fp, fn, tn] = rows[input.value];
    const shown = {
      threshold: (100 * threshold).toFixed(1) + "%", tp, fp, fn, tn,
      sensitivity: percent(tp, tp + fn), specificity: percent(tn, tn + fp), ppv: percent(tp, tp + fp),
    };
    for (const [name, text] of Object.entries(shown)) {
      for (const place of box.querySelectorAll(`[data-show="${name}"]`)) place.textContent = text;
    }
    input.setAttribute("aria-valuetext", `threshold ${shown.threshold}`);
  };
  input.addEventListener("input", show);
  show();
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const quoted = (item) => `"${item.textContent.trim().replaceAll('"', '""')}"`;
    const rows = (table) => [...table.rows].map((row) => [...row.cells].map(quoted).join(","));
    // What stands above a table says which runs and which method its rows are of.
    const parts = [...button.closest("details, section").querySelectorAll("h3, .method, table")];
    const text = parts.map((part) => (part.rows ? [...rows(part), ""] : [quoted(part)]).join("\n")).join("\n");
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
}

// On paper nothing can be unfolded.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => (item.open = true)));
