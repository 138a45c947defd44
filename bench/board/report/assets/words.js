// Which words of an answer agree with its reference: a longest common subsequence of words, as ROUGE-L has it.
"use strict";

window.bench = window.bench ?? {};

(() => {
  const WORDS = 1000; // of each text that are compared, so that a model that never stops does not stop the page

  function mark(text) {
    const made = document.createElement("mark");
    made.textContent = text;
    return made;
  }

  function tokens(text) {
    const found = [];
    for (const match of text.matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
      found.push({ word: match[0].toLowerCase(), from: match.index, to: match.index + match[0].length });
      if (found.length === WORDS) break;
    }
    return found;
  }

  /** Which words of `b` are in a longest common subsequence of words with `a`, by number. */
  function common(a, b) {
    const kept = new Set();
    let start = 0, endA = a.length, endB = b.length;
    while (start < endA && start < endB && a[start].word === b[start].word) kept.add(start++);
    while (endA > start && endB > start && a[endA - 1].word === b[endB - 1].word) { endA--; kept.add(--endB); }
    const n = endA - start, m = endB - start, wide = m + 1;
    const length = new Uint16Array((n + 1) * wide); // of what is common from a[i] and b[j] on
    const same = (i, j) => a[start + i].word === b[start + j].word;
    for (let i = n - 1; i >= 0; i--) {
      for (let j = m - 1; j >= 0; j--) {
        const below = length[(i + 1) * wide + j], right = length[i * wide + j + 1];
        length[i * wide + j] = same(i, j) ? length[(i + 1) * wide + j + 1] + 1 : Math.max(below, right);
      }
    }
    for (let i = 0, j = 0; i < n && j < m;) {
      if (same(i, j)) { kept.add(start + j); i++; j++; }
      else if (length[(i + 1) * wide + j] >= length[i * wide + j + 1]) i++;
      else j++;
    }
    return kept;
  }

  /** `text` with the words that agree with `reference`, case and punctuation ignored, in <mark>. */
  bench.marked = (text, reference) => {
    const fragment = document.createDocumentFragment();
    const words = tokens(text);
    const kept = reference ? common(tokens(reference), words) : new Set();
    let at = 0;
    for (let i = 0; i < words.length; i++) {
      if (!kept.has(i)) continue;
      const from = words[i].from;
      while (kept.has(i + 1) && !text.slice(words[i].to, words[i + 1].from).trim()) i++;
      if (from > at) fragment.append(text.slice(at, from));
      fragment.append(mark(text.slice(from, words[i].to)));
      at = words[i].to;
    }
    if (at < text.length) fragment.append(text.slice(at));
    return fragment;
  };
})();
