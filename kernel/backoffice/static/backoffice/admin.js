// The clock of the venue, in the header: its offset comes with the page, so that it is right in any browser.
"use strict";
{
    const clock = document.getElementById("venue-time");
    const offset = Number(document.body.dataset.adminUtcOffset) * 1000; // of the venue's time from UTC
    const show = () => {
        if (clock && clock.firstChild) clock.firstChild.nodeValue = new Date(Date.now() + offset).toISOString().slice(11, 16) + " ";
    };
    show();
    setInterval(show, 5000);
}
