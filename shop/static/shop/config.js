/** What the page says about the service: see `_config` in shop/views.py. */
export const config = JSON.parse(document.getElementById("config").textContent);
