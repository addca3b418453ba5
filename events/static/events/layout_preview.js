// Updates the preview while its layout is edited. The server draws it.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const text = document.getElementById("id_layout_config");
    const plan = document.querySelector(".seat-plan[data-preview-url]");
    if (!text || !plan) return;
    let lastRequest = 0, timer = 0;
    const update = async () => {
        const request = ++lastRequest;
        const form = new FormData();
        form.set("layout_config", text.value);
        form.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
        const response = await fetch(plan.dataset.previewUrl, {method: "POST", body: form});
        const html = await response.text();
        if (response.ok && request === lastRequest) plan.innerHTML = html; // else a later request is on its way
    };
    text.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(update, 250);
    });
    update();
});
