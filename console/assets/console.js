// Comfort, and nothing that a page needs: times as the clock here shows them, forms that are sent once, and
// pages that are shown anew when something happens.
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

    // A form is sent once, however often its button is pressed.
    const sent = new Set();
    const enable = (form, isEnabled) => {
        for (const button of form.querySelectorAll("button[type=submit]")) {
            button.disabled = !isEnabled;
        }
    };
    document.addEventListener("submit", (event) => {
        const form = event.target;
        if (sent.has(form)) {
            event.preventDefault();
            return;
        }
        sent.add(form);
        // Not before the browser has read the form: a button that is disabled says nothing of itself.
        setTimeout(() => enable(form, !sent.has(form)));
    });
    // Also when the page is come back to.
    window.addEventListener("pageshow", () => {
        for (const form of sent) {
            enable(form, true);
        }
        sent.clear();
    });

    const live = document.getElementById("live");
    const sections = document.getElementById("sections");
    // As the server has written them: so it is known whether others are new.
    let shown = sections ? sections.innerHTML.trim() : "";
    showTimes(document);
    if (!live || !sections || !window.EventSource) {
        return;
    }

    // What is said aloud: whether the page is live, and that it has changed. Not the time of each look.
    const [state, asOf, change] = live.children;
    const AGAIN_MS = 15000;
    const say = (element, text) => {
        if (element.textContent !== text) {
            element.textContent = text;
        }
    };
    const isLive = () => {
        say(state, "Live:");
        asOf.textContent = `as of ${local.format(new Date())}`;
    };
    const isNotLive = () => {
        say(state, "Not live any more:");
        asOf.textContent = "it is tried again. Reload the page to see what is new, or to sign in.";
    };

    // What can be moved, opened or come to by the keyboard, each by a name that it has again when it is new.
    const parts = () => {
        const named = new Map();
        for (const part of sections.querySelectorAll("a, button, summary, details, [tabindex]")) {
            const label = part.getAttribute("href") || part.getAttribute("aria-label");
            const name = part.id || label || part.textContent;
            let nth = 0;
            while (named.has(`${part.tagName} ${nth} ${name}`)) {
                nth += 1;
            }
            named.set(`${part.tagName} ${nth} ${name}`, part);
        }
        return named;
    };
    const replace = (nodes) => {
        const before = [];
        for (const [name, part] of parts()) {
            const { open, scrollLeft, scrollTop } = part;
            before.push({ name, open, scrollLeft, scrollTop, hasFocus: part === document.activeElement });
        }
        const { scrollX, scrollY } = window;
        sections.replaceChildren(...nodes);
        showTimes(sections);
        const after = parts();
        for (const { name, open, scrollLeft, scrollTop, hasFocus } of before) {
            const part = after.get(name);
            if (part) {
                if (open) {
                    part.open = true;
                }
                part.scrollLeft = scrollLeft;
                part.scrollTop = scrollTop;
            }
            if (hasFocus) {
                // What is there no more leaves the keyboard on the page, not before it.
                (part || document.getElementById("main")).focus({ preventScroll: true });
            }
        }
        window.scrollTo(scrollX, scrollY);
    };

    // Whoever is filling in a form is not disturbed.
    const isFilledIn = () => sections.querySelector("form :focus") !== null;
    let isHeldBack = false;
    const show = (text) => {
        const page = new DOMParser().parseFromString(text, "text/html");
        const written = page.body.innerHTML.trim();
        if (written !== shown) {
            isHeldBack = isFilledIn();
            if (isHeldBack) {
                return;
            }
            shown = written;
            replace(page.body.childNodes);
            say(change, `The page has changed at ${local.format(new Date())}.`);
        }
        if (events.readyState === EventSource.OPEN) {
            isLive();
        }
    };

    let events = null;
    let again = 0;
    const tryAgain = () => {
        isNotLive();
        clearTimeout(again);
        again = setTimeout(() => (events.readyState === EventSource.OPEN ? load() : listen()), AGAIN_MS);
    };

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
                const how = { credentials: "same-origin", redirect: "error" };
                const answer = await fetch(live.dataset.fragment, how);
                if (answer.ok) {
                    show(await answer.text());
                } else {
                    tryAgain();
                }
            } catch {
                tryAgain();
            }
        }
        isLoading = false;
    };
    sections.addEventListener("focusout", () => isHeldBack && setTimeout(load));

    const happened = () => {
        load();
        // What is not told to others follows soon after: mails, and the workflow's start.
        for (const wait of [1000, 3000, 8000]) {
            setTimeout(load, wait);
        }
    };
    const listen = () => {
        events?.close();
        events = new EventSource(live.dataset.stream);
        for (const type of live.dataset.types.split(" ")) {
            events.addEventListener(type, happened);
        }
        // What happened between the page and its stream.
        events.addEventListener("open", load);
        events.addEventListener("error", lost);
    };
    // A stream has an end, and the browser begins another. If it cannot, we do, after a while.
    const lost = () => {
        const stream = events;
        const look = () => {
            if (stream === events && stream.readyState !== EventSource.OPEN) {
                tryAgain();
            }
        };
        if (stream.readyState === EventSource.CLOSED) {
            look();
        } else {
            setTimeout(look, AGAIN_MS);
        }
    };
    listen();
    window.addEventListener("pagehide", () => events.close());
    window.addEventListener("pageshow", (event) => {
        if (event.persisted) {
            listen();
        }
    });
})();
