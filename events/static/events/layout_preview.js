// Draws the hall anew while its layout is being typed. The drawing is the server's.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const text = document.getElementById("id_layout_config");
    const plan = document.querySelector(".seat-plan[data-preview-url]");
    if (!text || !plan) return;
    let asked = 0, timer = 0;
    const draw = async () => {
        const mine = ++asked;
        const form = new FormData();
        form.set("layout_config", text.value);
        form.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
        const answer = await fetch(plan.dataset.previewUrl, {method: "POST", body: form});
        const drawn = await answer.text();
        if (answer.ok && mine === asked) plan.innerHTML = drawn;
    };
    text.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(draw, 250);
    });
    draw();
});
