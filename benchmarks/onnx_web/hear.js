/** Opens the page, listens for the length of the sound, and reports what was noted. */
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const { seconds, window_s: length } = await (await fetch("/sounds/plan.json")).json();
const frame = document.createElement("iframe");
Object.assign(frame, { src: "/site/index.html", width: 900, height: 900, allow: "microphone" });
document.body.append(frame);
while (!frame.contentDocument?.documentElement?.dataset.state) await wait(50);
const page = frame.contentDocument;
page.getElementById("seconds").value = length;
page.getElementById("listen").click();
await wait(1000 * seconds);
const heard = [...page.querySelectorAll("#heard li")].map((item) => item.firstChild.textContent);
await fetch(`/heard${location.search.slice(1)}`, { method: "POST", body: JSON.stringify(heard) });
