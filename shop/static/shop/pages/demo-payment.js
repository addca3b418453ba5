// Stands for the page of a payment service, in development only. It begins the payment when it opens, as a real one would.

import {$, money, session, t, toast} from "../page.js";

const query = new URLSearchParams(location.search);
const form = $("pay");
const fields = form.elements;

async function begin() {
    const reservation = query.get("reservation") ?? "";
    const body = new URLSearchParams({action: "begin", reservation});
    const response = await fetch("/shop/demo/payment", {method: "POST", body, headers: session.headers()});
    const answer = await response.json();
    $("number").textContent = query.get("number") ?? "";
    fields.namedItem("reservation").value = reservation;
    fields.namedItem("return").value = query.get("return") ?? "";
    if (!response.ok) {
        toast(answer.message ?? answer.error ?? t("error"));
        return;
    }
    // The amount is the one that the service says, whatever the address of this page says.
    fields.namedItem("amount").value = answer.amount;
    $("amount").textContent = money(answer.amount);
    $("begun").textContent = t("pay_begun");
    form.querySelector(".primary").disabled = false;
    form.querySelector(".primary").textContent = `${t("pay_now")} ${money(answer.amount)}`;
}

begin().catch(() => toast(t("error_offline")));
