// While the seats of an event are generated or replaced, its page shows how far that is. What is being edited stays.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const cell = document.querySelector(".field-seat_progress .readonly");
    const layout = document.getElementById("id_seat_layout");
    const shownLayout = layout?.value;
    const refreshSoon = () => cell?.querySelector("progress") && setTimeout(refresh, 1000);
    const refresh = async () => {
        const response = await fetch(location.href);
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const latest = page.querySelector(".field-seat_progress .readonly");
        if (latest) cell.replaceChildren(...latest.childNodes);
        const isDone = !cell.querySelector("progress");
        if (isDone && layout?.value === shownLayout) layout.value = page.getElementById("id_seat_layout")?.value ?? shownLayout;
        refreshSoon();
    };
    refreshSoon();
});
