// Looks into every frame once all are loaded, and writes what it found into the page.
//
// A line of text counts as far as it is seen: not where it is hidden, nor beyond the edge of a region that scrolls.
function seen(rect, element) {
  let { left, top, right, bottom } = rect;
  for (let at = element; at && at.tagName !== "BODY"; at = at.parentElement) {
    if (at.ownerDocument.defaultView.getComputedStyle(at).overflowX === "visible") continue;
    const outer = at.getBoundingClientRect();
    [left, top] = [Math.max(left, outer.left), Math.max(top, outer.top)];
    [right, bottom] = [Math.min(right, outer.right), Math.min(bottom, outer.bottom)];
  }
  return { left, top, right, bottom };
}

function texts(document) {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("title, desc, style, script")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      const area = seen(rect, element);
      if (area.right - area.left > 2 && area.bottom - area.top > 2) found.push({ text: node.data.trim(), ...area });
    }
  }
  return found;
}

// By more than the room between lines, which belongs to the text's own box.
function overlaps(found) {
  const sorted = found.sort((a, b) => a.top - b.top);
  const pairs = [];
  sorted.forEach((a, index) => {
    for (let next = index + 1; next < sorted.length && sorted[next].top < a.bottom - 3; next++) {
      const b = sorted[next];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5) pairs.push([a.text, b.text]);
    }
  });
  return pairs;
}

addEventListener("load", () => {
  const measured = [...document.querySelectorAll("iframe")].map(({ contentDocument }) => {
    const found = texts(contentDocument);
    return { texts: found.length, overlaps: overlaps(found), scroll_width: contentDocument.documentElement.scrollWidth };
  });
  const result = document.createElement("pre");
  result.id = "measured";
  result.textContent = JSON.stringify(measured);
  document.querySelectorAll("iframe").forEach((frame) => frame.remove());
  document.body.append(result);
});
