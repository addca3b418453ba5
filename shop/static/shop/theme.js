// Runs before the page is drawn, so that it does not flash in the other colours.
try {
    const chosen = localStorage.getItem("shop-theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
    // without storage: what the system prefers
}
