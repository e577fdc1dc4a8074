// Comfort, and nothing that a page needs: times as the clock here shows them, and pages that are shown anew
// when something happens.
"use strict";

(() => {
    const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

    const showTimes = (within) => {
        for (const time of within.querySelectorAll("time[datetime]")) {
            const at = new Date(time.dateTime);
            if (!Number.isNaN(at.getTime())) {
                time.title = time.textContent;
                time.textContent = local.format(at);
            }
        }
    };
    showTimes(document);

    const live = document.getElementById("live");
    const sections = document.getElementById("sections");
    if (!live || !sections || !window.EventSource) {
        return;
    }

    // One at a time; what happens meanwhile asks for one more.
    let isLoading = false;
    let isWanted = false;
    const load = async () => {
        isWanted = true;
        if (isLoading) {
            return;
        }
        isLoading = true;
        while (isWanted) {
            isWanted = false;
            try {
                const answer = await fetch(live.dataset.fragment, { credentials: "same-origin", redirect: "error" });
                if (answer.ok) {
                    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
                    // Whoever is filling in a form is not disturbed.
                    if (!sections.querySelector("form :focus")) {
                        sections.replaceChildren(...page.body.childNodes);
                        showTimes(sections);
                        live.textContent = `Live: as of ${local.format(new Date())}`;
                    }
                }
            } catch {
                live.textContent = "Not live now: reload the page to see what is new.";
            }
        }
        isLoading = false;
    };

    const events = new EventSource(live.dataset.stream);
    const happened = () => {
        load();
        // What is not told to others follows soon after: mails, and the workflow's start.
        for (const wait of [1000, 3000, 8000]) {
            setTimeout(load, wait);
        }
    };
    for (const type of live.dataset.types.split(" ")) {
        events.addEventListener(type, happened);
    }
    // What happened between the page and its stream.
    events.addEventListener("open", load);
    window.addEventListener("pagehide", () => events.close());
})();
