"""More queries of each kind, in the form of queries.shared.json: what the given ones must not have been fitted to."""

import unicodedata
from typing import Any

# kind, level: {search text: keys of the events that must be found}. With "!" the first of those found must be one of them.
QUERIES: dict[tuple[str, int], dict[str, str]] = {
    ("artist_ko_to_en", 1): {
        "!아이유": "iu1 iu2 iu3 iu4", "!오아시스": "oasis1", "!임영웅": "lyw1 lyw2 lyw3 lyw4", "!트와이스": "twice1",
        "!마마무": "mamamoo_1 mamamoo_2", "!엔믹스": "nmixx1", "!볼빨간사춘기": "lik_1 lik_2", "!히사이시 조": "hisa1 ghibli1",
    },
    ("artist_en_to_ko", 1): {
        "!BLACKPINK": "bp1 bp2", "!Stray Kids": "skz1 skz2", "!Bruno Mars": "bruno1", "!Maybe Happy Ending": "maybe1 maybe2",
        "!SUPER JUNIOR": "sj1", "!Paul Kim": "paul1", "!Swan Lake": "swan1", "!Song Ga In": "songgain1",
    },
    ("several_hops", 2): {
        "!스키즈": "skz1 skz2", "!블핑": "bp1 bp2", "!제베원": "zb1", "!ZB1": "zb1", "!보넥도": "bnd1", "!슈주": "sj1",
        "!TXT": "txt1 txt2", "고척돔": "gd1 lyw1 psy3", "!SNSD": "snsd1 snsd2",
    },
    ("romanised_no_mapping", 3): {
        "jeju": "tj1 mamamoo_2", "jangyunjeong": "jys1", "kim jang hoon": "kimjh_1 kimjh_2", "insooni": "insooni_1 insooni_2",
        "daehangno": "maybe2 fan1", "nodeul": "jambinai1", "kwon jin ah": "kwonja1", "sim soo bong": "sjj1", "seongsu": "snsd2",
        "myeongseong": "myeong1", "jeong dong won": "jdw1", "kim soo hyun": "ksh1 ksh2", "mokdong": "",
    },
    ("hangul_for_foreign_no_mapping", 3): {
        "그린 데이": "gd3", "셀린 디온": "celine1", "시규어 로스": "sigur1", "비욕": "", "킹 누": "kk1", "건즈": "gnr1",
        "세레나데": "", "펜타포트": "penta1", "엔하이픈": "enha1", "마리인스키": "", "유니버셜": "", "뮤직": "",
        "월드 투어": "bts1 svt1", "카우보이": "bey1",
    },
    ("words_any_order", 2): {
        "콘서트 성시경": "sungsk2", "대구 임영웅": "lyw4", "고양 콜드플레이": "cold1", "인스파이어 세븐틴": "svt2",
        "뮤지컬 옥주현": "rebecca1 elis1 red1 mata1", "리사이틀 조성진": "cho1", "부산 싸이": "psy1", "팬미팅 변우석": "byeon1",
        "두산 잠실": "kbo_lgtwins_doosan", "홍광호 지킬": "jekyll1 jekyll2",
    },
    ("spacing", 2): {
        "임영웅콘서트": "", "브루노마스콘서트": "bruno1", "오페라의유령부산": "poto2", "세종문화회관대극장": "cnema1 mozart1",
        "레드핫칠리페퍼스": "rhcp1", "다이나믹듀오": "dynamic1", "엑스디너리히어로즈": "xdh1", "notredamedeparis": "nmf1",
        "방탄소년단부산": "bts2", "뮤지컬시카고": "chi1", "성시경연말콘서트": "sungsk2", "임 영 웅": "lyw1", "연말콘서트": "iu4 day62 sungsk2",
        "이매진드래곤스": "imag1", "happyending": "maybe1", "올림픽 체조 경기장": "iu4 exo1", "에픽 하이": "epik1", "넬콘서트": "",
    },
    ("mixed_language", 2): {
        "BTS 고양": "bts1", "세븐틴 incheon": "svt1", "데이식스 concert": "day62", "exo 콘서트": "exo1", "Coldplay 콘서트": "",
        "psy 부산": "psy1", "IVE 팬미팅": "ive2", "txt 고척": "txt1", "뉴진스 fan meeting": "nj1", "seoul 뮤지컬": "chi1",
    },
    ("noise_words", 3): {
        "콜드플레이 예매": "cold1", "아이유 티켓 예매": "iu1 iu2 iu3 iu4", "싸이 공연": "psy1 psy2 psy3", "위키드 티켓팅": "wick1 wick2",
        "세븐틴의 콘서트": "svt1 svt2", "데스노트 뮤지컬 예매": "dr1 dr2", "BTS tickets": "bts1 bts2 bts3", "콜드플레이 콘서트 표": "cold1",
    },
    ("accents", 2): {
        "bjork": "bjork1", "olafur arnalds": "olafur1", "celine dion": "celine1", "dvorak": "dvo1", "rose": "rose1",
        "gerard presgurvic": "romeo1", "Misérables": "lesmis2",
    },
    ("punctuation", 2): {
        "idle": "gidle1 gidle2 gidle3", "g idle": "gidle1 gidle2", "g-idle": "gidle1 gidle2", "jhope": "jhope1", "j hope": "jhope1",
        "nflying": "nflying1", "pnk": "pnk1", "guns n roses": "gnr1", "girls' generation": "snsd1 snsd2", "mamma mia": "mamma1 mamma2",
        "맘마미아!": "mamma1 mamma2", "fromis 9": "fromis1", "지킬&하이드": "jekyll1 jekyll2", "5star": "skz2", "j.y. park": "jyp1",
        "jy park": "jyp1", "d.o.": "do1", "runseokjin": "jin1", "tyler, the creator": "tyler1", "kt&g": "comedy1 quo1 star1",
        "K리그": "kl_fcseoul_ulsan", "서울재즈페스티벌": "sjf1", "t1 vs gen.g": "lck1", "geng": "lck1",
    },
    ("initials", 2): {
        "ㅂㅌㅅㄴㄷ": "bts1 bts2 bts3 jin1", "ㅅㅂㅌ": "svt1 svt2", "ㄴㅈㅅ": "nj1 nj2", "ㅋㄷㅍㄹㅇ": "cold1", "ㄹㅁㅈㄹㅂ": "lesmis1 lesmis2",
        "ㅇㅅㅍ": "aespa1 aespa2", "ㅁㅈㅋ": "chi1 wick1", "ㅅㅅㄱ": "sungsk1 sungsk2", "ㅇㅍㄹㅇㅇㄹ": "poto1 poto2 poto3", "ㅈㅅ": "lsf1",
        "ㅇㅋㄷ ㅂㅅ": "wick2", "ㄱㅊㅅㅋㅇㄷ": "gd1", "ㅌㅇㅅ": "tws1",
    },
    ("half_typed", 2): {
        "임영우": "lyw1", "콘섵": "iu4", "세븐티": "svt1", "블랙핑ㅋ": "bp1 bp2", "뉴진": "nj1", "콜드플ㄹ": "cold1", "레미제라ㅂ": "lesmis1",
        "에스ㅍ": "aespa1 aespa2", "지드ㄹ": "gd1 gd2", "서우": "lyw1 iu1", "부ㅅ": "bts2 wick2", "임여": "lyw1", "고척슼": "gd1", "데스놑": "dr1 dr2",
        "아이유 콘섵": "iu4", "ㅇ": "",
    },
    ("wrong_keyboard", 2): {
        "dladuddnd": "lyw1 lyw2", "tpqmsxls": "svt1 svt2", "ekshalr": "", "ㅎ-ㅇㄱㅁ해ㅜ": "gd1 gd2", "ㅠㅅㄴ": "bts1 bts2", "ㅊ낸ㅇㅅ": "",
        "zhfemvmffpdl": "cold1", "rhcjr": "gd1", "qntks": "bts2", "ㅁㄷ네ㅁ": "aespa1 aespa2", "ㅔ뇨": "psy1 psy2 psy3", "dkdldb zhstjxm": "iu4",
        "Tkdl": "psy1 psy2 psy3", "ㅂㅈㄷㄱ": "qwer1", "ㅔㅣ묘": "", "WLEMFORHS": "gd1 gd2", "dkdl": "iu1", "qmfforvldzm": "bp1 bp2",
    },
    ("typing_errors", 3): {
        "블랙핑그": "bp1 bp2", "세븐턴": "svt1 svt2", "임영옹": "lyw1", "지드레곤": "gd1 gd2", "콜드플래이": "cold1", "뮤지칼": "chi1",
        "스트레이키스": "skz1 skz2", "데이식쓰": "day61 day62", "coldpley": "cold1", "btss": "", "seventen": "svt1 svt2", "enhyphen": "enha1",
        "mamamo": "mamamoo_1", "imagine dragoons": "imag1", "brono mars": "bruno1", "오패라의 유령": "poto1", "고척스카이돈": "gd1",
        "백조의 호슈": "swan1", "샤롯대씨어터": "poto1", "phanton of the opera": "poto1 poto3",
    },
    ("dates_years", 3): {
        "2026": "lyw1 iu4", "2026년 12월": "iu4 dr1", "12월 25일": "sungsk2", "2026.12.24": "dr1 jaurim1", "2027-05": "10cm2 ado1",
        "30주년": "hot1 yb1 myeong1", "2027 콘서트": "davichi1", "2026년 임영웅": "lyw1 lyw2 lyw4", "12월 아이유": "iu4", "2026-12-26": "iu4",
        "20th": "bb1 snsd2", "크리스마스 콘서트": "emoji1 yuhki",
    },
    ("one_syllable", 2): {"!진": "jin1", "!숀": "lauv1", "해": "kiha1", "빈": "vienna1", "눈": "leejr"},
    ("two_syllables", 1): {"대구": "lyw4 10cm2", "연극": "hamlet1", "오페": "poto1", "부산": "bts2", "싸이": "psy1", "전시": "bts3"},
    ("parts_of_words", 1): {
        "영웅": "lyw1 hero1", "랙핑": "bp1", "dragon": "gd1", "generation": "snsd2", "월드투": "aespa2", "림픽": "iu3", "필하모": "berlin1 vienna1",
    },
    ("short_names", 2): {
        "!YB": "yb1", "!god": "god1", "!SIX": "six1", "!IVE": "ive1 ive2", "!T1": "lck1", "!UFC": "wwe1", "!넬": "nell1 peak1", "!IU": "iu1 iu2 iu3 iu4",
        "!진": "jin1", "!MUSE": "muse1", "!Sade": "sade1", "!태양": "tae1", "!루시": "lucy1", "!해밀턴": "hamil1", "!비": "rain1 waterbomb1",
        "!Ye": "ye1", "!린": "lyn1", "!렌트": "rent1", "!있지": "itzy1", "!신화": "shinhwa1", "!YE": "ye1", "!D.O.": "do1",
    },
    ("homonyms", 2): {"!김수현": "ksh1 ksh2", "!심청": "sim1 chang1", "레베카": "rebecca1", "!아트": "art1"},
    ("venue", 2): {
        "KSPO": "iu4 exo1", "롯데콘서트홀": "cho2 lim2", "lotte concert hall": "cho2", "벡스코": "lyw2 hwasa_2", "블루스퀘어 신한카드홀": "lesmis1",
        "kspo dome": "iu4", "예스24 라이브홀": "kiof1 touched1", "상암": "", "월드컵경기장": "lyw3 iu1", "대학로": "fan1 maybe2", "예당": "", "잠실 실내체육관": "nj1",
    },
    ("literal", 1): {"\\m/": "bs1", "C++": "plus1", "fromis_9": "fromis1", "RUNSEOKJIN_EP": "jin1", "★": "star1", "♥": "amp1", "R&B": "amp1", "🎄": "emoji1", "™": "hp1"},
    ("abbreviations", 3): {"세문": "", "예전": "", "롯콘": "cho2 lim2", "블스": "lesmis1", "어해": "", "노드파": "nmf1", "부국": ""},
}  # fmt: skip
FOUND_NOTHING = ["qqqqzzzz", "뷁뷁뷁", "코끼리 서커스 관람", "asdfqwer1234zz", "99999999", "존재하지않는가수이름", "IU%", "아이유_", "zxcvbnmlk"]  # fmt: skip
NARROW_KINDS = {
    "ＳＥＶＥＮＴＥＥＮ": "svt1 svt2",
    "ＤＡＹ６": "day61 day62",
    "Ｇ－ＩＤＬＥ": "gidle1 gidle2",
    "２０２６－１２－２４": "dr1",
}
CASES = {"BEYONCÉ": "bey1", "çéline dion": "celine1", "İU": "iu1", "björk": "bjork1", "NEWJEANS": "nj1"}
DECOMPOSED = {
    "임영웅": "lyw1", "세븐틴": "svt1", "오페라의 유령": "poto1", "Björk": "bjork1", "ÜBERMENSCH": "gd1", "콘서트 아이유": "iu4",
    "방탄소년ㄷ": "bts1 bts2 bts3",
}  # fmt: skip


def queries() -> list[dict[str, Any]]:
    found = []
    for (kind, level), texts in QUERIES.items():
        for text, keys in texts.items():
            if keys:
                found.append(_query(kind, level, text.removeprefix("!"), keys.split(), ordered=text.startswith("!")))
    found += [_query("full_width", 2, text, keys.split()) for text, keys in NARROW_KINDS.items()]
    for text, keys in DECOMPOSED.items():
        found.append(_query("nfd", 2, unicodedata.normalize("NFD", text), keys.split()))
    found += [_query("case", 1, text, keys.split()) for text, keys in CASES.items()]
    found += [{**_query("nothing", 1, text, []), "none": True} for text in FOUND_NOTHING]
    return [{**query, "id": f"{query['kind']}-own-{at}"} for at, query in enumerate(found)]


def _query(kind: str, level: int, text: str, keys: list[str], *, ordered: bool = False) -> dict[str, Any]:
    rest: dict[str, Any] = {"may": [], "must_not": [], "none": False, "status": [200]}
    return {"kind": kind, "level": level, "q": text, "must": keys, "first": keys, "ordered": ordered, **rest}
