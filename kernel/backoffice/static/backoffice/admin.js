// The venue's time in the header. The UTC offset comes with the page, since the browser may be in another time zone.
"use strict";
{
    const clock = document.getElementById("venue-time");
    const offset = Number(document.body.dataset.adminUtcOffset) * 1000;
    const show = () => {
        if (clock && clock.firstChild) clock.firstChild.nodeValue = new Date(Date.now() + offset).toISOString().slice(11, 16) + " ";
    };
    show();
    setInterval(show, 5000);
}
