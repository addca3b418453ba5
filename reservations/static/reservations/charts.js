// The charts of the live page, drawn as SVG.

const NAMESPACE = "http://www.w3.org/2000/svg";

function draw(parent, tag, attributes, text) {
    const element = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
}

// The end of an axis: the next round number.
function roundUp(maximum) {
    const power = 10 ** Math.floor(Math.log10(Math.max(maximum, 4)));
    return [1, 2, 4, 5, 8, 10].map((factor) => factor * power).find((value) => value >= maximum);
}

// Draws the total sold as a line, and what was reserved in each step as bars. Rows: {at, step, reserved, sold}.
export function drawSales(parent, rows, {texts, zone, number}) {
    parent.replaceChildren();
    if (!rows.length) {
        parent.textContent = texts.noSales;
        return;
    }
    const [width, height, left, right, top, bottom] = [Math.max(parent.clientWidth, 320), 220, 46, 42, 26, 24];
    const svg = draw(parent, "svg", {viewBox: `0 0 ${width} ${height}`});
    const step = rows[0].step;
    const until = Math.floor(Date.now() / 1000 / step) * step + step;
    const from = Math.min(rows[0].at, until - 10 * step);
    const steps = (until - from) / step;
    const plotWidth = width - left - right, plotHeight = height - top - bottom;
    const x = (at) => left + ((at - from) / step / steps) * plotWidth;

    const sold = rows.reduce((sum, row) => sum + row.sold, 0);
    const maxSold = roundUp(sold), maxReserved = roundUp(Math.max(...rows.map((row) => row.reserved)));
    const y = (value) => top + plotHeight * (1 - value / maxSold);
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
        const at = top + plotHeight * (1 - part);
        draw(svg, "line", {x1: left, x2: width - right, y1: at, y2: at, class: "grid"});
        if (Number.isInteger(maxSold * part)) {
            draw(svg, "text", {x: left - 8, y: at + 4, "text-anchor": "end"}, number(maxSold * part));
        }
        if (part && Number.isInteger(maxReserved * part)) {
            draw(svg, "text", {x: width - right + 8, y: at + 4}, number(maxReserved * part));
        }
    }
    let sum = 0;
    let path = `M${left} ${y(0)}`;
    for (const row of rows) {
        path += ` L${x(row.at)} ${y(sum)}`;
        sum += row.sold;
        path += ` L${x(Math.min(row.at + step, until))} ${y(sum)}`;
    }
    path += ` L${x(until)} ${y(sum)}`;
    draw(svg, "path", {d: `${path} V${y(0)} Z`, class: "area"});
    for (const row of rows) {
        const barHeight = (plotHeight * row.reserved) / maxReserved;
        draw(svg, "rect", {
            x: x(row.at) + 0.5, y: top + plotHeight - barHeight, width: Math.max(1, Math.min(26, plotWidth / steps - 1)), height: barHeight,
            class: "locked",
        });
    }
    draw(svg, "path", {d: path, class: "line"});

    const clock = new Intl.DateTimeFormat(document.documentElement.lang, {
        timeZone: zone, ...(until - from > 2 * 86400 ? {month: "numeric", day: "numeric"} : {hour: "2-digit", minute: "2-digit", hour12: false}),
    });
    const labels = Math.max(2, Math.min(8, Math.floor(plotWidth / 90)));
    for (let index = 0; index <= labels; index++) {
        const at = from + Math.round((index * steps) / labels) * step;
        draw(svg, "text", {x: x(at), y: height - 6, "text-anchor": "middle"}, clock.format(new Date(at * 1000)));
    }
    draw(svg, "rect", {x: left, y: 5, width: 14, height: 4, rx: 2, fill: "var(--sold)"});
    draw(svg, "text", {x: left + 20, y: 11}, texts.totalSold);
    draw(svg, "rect", {x: width - right - 14, y: 3, width: 9, height: 9, rx: 2, class: "locked"});
    draw(svg, "text", {x: width - right - 20, y: 11, "text-anchor": "end"}, texts.reservedPerStep);
}

// Draws the length of the queue since the page was opened. Lengths: numbers, oldest first.
export function drawQueue(parent, lengths, number) {
    parent.replaceChildren();
    if (lengths.length < 2) return;
    const [width, height] = [Math.max(parent.clientWidth, 200), 56];
    const svg = draw(parent, "svg", {viewBox: `0 0 ${width} ${height}`});
    const longest = Math.max(...lengths, 1);
    const points = lengths.map((length, index) => [
        (index / (lengths.length - 1)) * width, height - 2 - (length / longest) * (height - 18),
    ]);
    const path = `M${points.map((point) => point.join(" ")).join(" L")}`;
    draw(svg, "path", {d: `${path} V${height} H0 Z`, class: "area"});
    draw(svg, "path", {d: path, class: "line"});
    draw(svg, "text", {x: width, y: 10, "text-anchor": "end"}, `↑ ${number(longest)}`);
}
