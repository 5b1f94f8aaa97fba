/** The rules of `earmark predict`: from scores (K,) and the known-score to an answer. */

export const UNKNOWN = "unknown";

/**
 * Returns the scores, best first, and the chosen labels: one, or all that reach their thresholds.
 * None is chosen if the sound is unlike the training clips.
 */
export function decide(description, scores, knownScore) {
  const { labels, unknown_threshold: below, thresholds } = description;
  const ranked = Array.from(scores, (score, k) => ({
    label: labels[k],
    score,
    threshold: description.is_single ? null : thresholds[k],
  })).sort((a, b) => b.score - a.score);
  const isUnknown = typeof below === "number" && knownScore < below;
  const reached = description.is_single
    ? ranked.slice(0, 1)
    : ranked.filter(({ score, threshold }) => score >= threshold);
  const chosen = isUnknown ? [] : reached.map(({ label }) => label);
  return { ranked, chosen, isUnknown, text: textOf(isUnknown, chosen) };
}

function textOf(isUnknown, chosen) {
  if (isUnknown) return UNKNOWN;
  return chosen.length ? chosen.join("; ") : "none of the classes";
}
