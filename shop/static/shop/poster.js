// Posters, drawn from an event's title and artist: the same ones each time, and no two alike.

import {config} from "./config.js";
import {h, svg} from "./page.js";

const WIDTH = 300;
const HEIGHT = 400;
const MARGIN = 22;

// Ground, two colours, and the colour of the letters.
const PALETTES = [
    ["#f2c230", "#17151a", "#e2462b", "#17151a"],
    ["#1c2755", "#f26a4b", "#f4d9a0", "#fff6e5"],
    ["#e9e2d3", "#1d5c4a", "#e2462b", "#1a1a17"],
    ["#d63a1f", "#1a0f0c", "#f8cdb4", "#fff8f2"],
    ["#101014", "#7b5cff", "#e8f24a", "#ffffff"],
    ["#b4d9cf", "#183a4a", "#f26a4b", "#0d2530"],
    ["#f4b5c1", "#7a1230", "#fff1e8", "#430a1c"],
    ["#1f5138", "#f0c24a", "#cfe3cf", "#f7f3e3"],
    ["#c9d4f0", "#2f3fb0", "#f2a03d", "#141b4d"],
];

const COMPOSITIONS = [moon, arcs, bars, tiles, waves, rays, keys, orbits];

/** The poster of an event: a picture from a host that is allowed, or a drawing. It says nothing that the text does not. */
export function poster(event) {
    const frame = h("div", {class: "poster"});
    const address = allowed(event.poster_image_url);
    const draw = () => frame.replaceChildren(drawing(event));
    if (!address) draw();
    else frame.append(h("img", {src: address, alt: "", loading: "lazy", onerror: draw}));
    return frame;
}

function allowed(address) {
    try {
        const url = new URL(address, location.href);
        if (
            !address ||
            (url.origin !== location.origin && (url.protocol !== "https:" || !config.posterHosts.includes(url.host)))
        )
            return null;
        return url.href;
    } catch {
        return null;
    }
}

function drawing({id, title, artist_name: artist}) {
    const random = randomOf(`ten${id}${title}`);
    random(); // the first number of similar texts is similar
    const [ground, first, second, ink] = PALETTES[Math.floor(random() * PALETTES.length)];
    const compose = COMPOSITIONS[Math.floor(random() * COMPOSITIONS.length)];
    const picture = svg("svg", {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        "aria-hidden": "true",
        focusable: "false",
        preserveAspectRatio: "xMidYMid slice",
    });
    picture.append(svg("rect", {width: WIDTH, height: HEIGHT, fill: ground}));
    const {lines, size} = fit(title);
    const bottom = MARGIN + lines.length * size * 1.12;
    const art = svg("g", {});
    compose({art, random, first, second, ground, top: Math.max(bottom + 48, 150)});
    picture.append(art, ...letters(lines, {size, ink, y: MARGIN + size * 0.88, weight: 800}));
    const credit = fit((artist ?? "").replace(/\s*\(.*\)$/, ""), {largest: 13, smallest: 11, most: 1}).lines;
    picture.append(...letters(credit, {size: 13, ink, y: bottom + 22, weight: 600}));
    return picture;
}

// --- Letters ---

function letters(lines, {size, ink, y, weight}) {
    return lines.map((line, index) => {
        const attributes = {
            x: MARGIN,
            y: y + index * size * 1.12,
            fill: ink,
            "font-size": size,
            "font-weight": weight,
            "letter-spacing": size > 20 ? "-0.03em" : "0",
        };
        return svg("text", attributes, line);
    });
}

/** The largest size in which a text fits, and its lines. */
function fit(text, {largest = 44, smallest = 22, most = 4} = {}) {
    for (let size = largest; size >= smallest; size -= 2) {
        const lines = wrap(text, (WIDTH - 2 * MARGIN) / size);
        if (lines.length <= most && lines.length * size * 1.12 < 158) return {lines, size};
    }
    return {lines: wrap(text, (WIDTH - 2 * MARGIN) / smallest).slice(0, most), size: smallest};
}

function wrap(text, width) {
    const lines = [];
    let line = "";
    for (const word of text.split(/\s+/).filter(Boolean)) {
        const longer = line ? `${line} ${word}` : word;
        if (widthOf(longer) <= width) {
            line = longer;
            continue;
        }
        if (line) lines.push(line);
        line = word;
        while (widthOf(line) > width) {
            let end = line.length - 1;
            while (end > 1 && widthOf(line.slice(0, end)) > width) end--;
            lines.push(line.slice(0, end));
            line = line.slice(end);
        }
    }
    return line ? [...lines, line] : lines;
}

/** In units of the font's size, roughly: fonts differ, and nobody has to know them before the first drawing. */
function widthOf(text) {
    let width = 0;
    for (const letter of text)
        width +=
            letter > "\u2e80" ? 0.95 : /[A-Z0-9WM@]/.test(letter) ? 0.68 : /[ .,:;'’il|!\-[\]()]/.test(letter) ? 0.32 : 0.56;
    return width;
}

// --- Compositions: each fills the space below `top` ---

function moon({art, random, first, second, ground, top}) {
    const radius = 78 + random() * 34;
    const x = WIDTH * (0.35 + random() * 0.3);
    const y = Math.max(top + radius * 0.75, 272);
    art.append(
        svg("circle", {cx: x, cy: y, r: radius, fill: second}),
        svg("circle", {cx: x + radius * 0.42, cy: y - radius * 0.16, r: radius * 0.86, fill: ground}),
    );
    for (let line = 0; line < 7; line++) {
        art.append(
            svg("rect", {
                x: 0,
                y: HEIGHT - 8 - line * (9 + line * 1.6),
                width: WIDTH,
                height: Math.max(1.5, 7 - line),
                fill: first,
            }),
        );
    }
}

function arcs({art, random, first, second, ground, top}) {
    const x = random() < 0.5 ? 0 : WIDTH;
    const step = 30 + random() * 10;
    const colours = [first, ground, second, ground];
    for (let ring = Math.floor(Math.min(WIDTH, HEIGHT - top + 40) / step); ring > 0; ring--) {
        art.append(svg("circle", {cx: x, cy: HEIGHT, r: ring * step, fill: colours[ring % 4]}));
    }
}

function bars({art, random, first, second, top}) {
    const count = 9 + Math.floor(random() * 5);
    const width = WIDTH / count;
    const phase = random() * 6;
    for (let bar = 0; bar < count; bar++) {
        const height =
            (HEIGHT - top) * (0.25 + 0.72 * Math.abs(Math.sin(phase + bar * 0.75) * Math.cos(phase / 2 + bar * 0.31)));
        art.append(
            svg("rect", {
                x: bar * width + 2,
                y: HEIGHT - height,
                width: width - 4,
                height,
                fill: bar % 4 === 2 ? second : first,
            }),
        );
    }
}

function tiles({art, random, first, second, top}) {
    const size = 75;
    for (let y = HEIGHT - size; y > top - size * 0.4; y -= size) {
        for (let x = 0; x < WIDTH; x += size) {
            const fill = random() < 0.3 ? second : first;
            const turn = Math.floor(random() * 4) * 90;
            const quarter = svg("path", {
                d: `M0 0h${size}a${size} ${size} 0 0 1-${size} ${size}z`,
                fill,
                transform: `translate(${x} ${y}) rotate(${turn} ${size / 2} ${size / 2})`,
            });
            const kind = random();
            if (kind < 0.62) art.append(quarter);
            else if (kind < 0.82) art.append(svg("circle", {cx: x + size / 2, cy: y + size / 2, r: size / 2, fill}));
        }
    }
}

function waves({art, random, first, second, ground, top}) {
    const colours = [second, first, ground, first];
    const rows = 7;
    const step = (HEIGHT - top) / rows;
    for (let row = 0; row < rows; row++) {
        const phase = random() * 6;
        const height = 10 + random() * 14;
        const points = Array.from(
            {length: 16},
            (_, index) => `${(index * WIDTH) / 15} ${top + 8 + row * step + Math.sin(phase + index * 0.62) * height}`,
        );
        art.append(
            svg("path", {
                d: `M${points.join("L")}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}z`,
                fill: colours[row % 4],
                "stroke-linejoin": "round",
            }),
        );
    }
}

function rays({art, random, first, second, ground, top}) {
    const x = WIDTH * (0.2 + random() * 0.6);
    const count = 22;
    const clip = `clip-${Math.floor(random() * 1e9)}`;
    art.append(svg("clipPath", {id: clip}, svg("rect", {x: 0, y: top, width: WIDTH, height: HEIGHT - top})));
    const fan = svg("g", {"clip-path": `url(#${clip})`});
    fan.append(svg("rect", {y: top, width: WIDTH, height: HEIGHT - top, fill: first}));
    for (let ray = 0; ray < count; ray += 2) {
        const [from, to] = [ray, ray + 1].map((each) => Math.PI + (each * Math.PI) / count);
        fan.append(
            svg("path", {
                d: `M${x} ${HEIGHT}L${x + 500 * Math.cos(from)} ${HEIGHT + 500 * Math.sin(from)}L${x + 500 * Math.cos(to)} ${HEIGHT + 500 * Math.sin(to)}z`,
                fill: ground,
            }),
        );
    }
    art.append(fan, svg("circle", {cx: x, cy: HEIGHT, r: 62, fill: second}));
}

function keys({art, random, first, second, top}) {
    const count = 8;
    const width = WIDTH / count;
    const lit = Math.floor(random() * count);
    for (let key = 0; key < count; key++) {
        const drop = random() * 26;
        art.append(
            svg("rect", {
                x: key * width + 1,
                y: top + drop,
                width: width - 2,
                height: HEIGHT,
                fill: key === lit ? second : first,
            }),
        );
    }
    for (const key of [0, 1, 3, 4, 5]) {
        art.append(
            svg("rect", {
                x: (key + 1) * width - width * 0.28,
                y: top - 6,
                width: width * 0.56,
                height: (HEIGHT - top) * 0.52,
                fill: second,
            }),
        );
    }
}

function orbits({art, random, first, second, top}) {
    const y = (top + HEIGHT) / 2 + 6;
    const x = WIDTH / 2 + (random() - 0.5) * 60;
    const most = (HEIGHT - top) / 2 + 34;
    for (let ring = 5; ring > 0; ring--) {
        art.append(svg("circle", {cx: x, cy: y, r: (most * ring) / 5, fill: "none", stroke: first, "stroke-width": 2.5}));
        const angle = random() * 6.3;
        const radius = 5 + random() * 13;
        art.append(
            svg("circle", {
                cx: x + ((most * ring) / 5) * Math.cos(angle),
                cy: y + ((most * ring) / 5) * Math.sin(angle),
                r: radius,
                fill: ring % 2 ? second : first,
            }),
        );
    }
    art.append(svg("circle", {cx: x, cy: y, r: 17, fill: second}));
}

// --- Chance that can be repeated ---

function randomOf(text) {
    let state = 2166136261;
    for (const letter of text) state = Math.imul(state ^ letter.codePointAt(0), 16777619);
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
}
