"""What the demo sells. Artists and shows are invented, the venues and their addresses are real.

Moments are relative to the loading: `on_day(-9, "14:00")` is two in the afternoon, Korean time, nine days before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

from demo.layouts import ARENA, CONCERT_HALL, SMALL_THEATRE, Layout
from events.models import Event

KOREA = timezone(timedelta(hours=9), "KST")
Moment = Callable[[datetime], datetime]

UPCOMING, ON_SALE, SOLD_OUT = Event.Status.UPCOMING, Event.Status.ON_SALE, Event.Status.SOLD_OUT
ENDED, CANCELLED = Event.Status.ENDED, Event.Status.CANCELLED


def on_day(days: int, clock: str) -> Moment:
    def moment(now: datetime) -> datetime:
        return datetime.combine(now.astimezone(KOREA) + timedelta(days=days), time.fromisoformat(clock), KOREA)

    return moment


def in_minutes(minutes: int) -> Moment:
    return lambda now: now + timedelta(minutes=minutes)


@dataclass(frozen=True, slots=True)
class Ticket:
    name: str
    price: int
    total: int
    available: int
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """An event, with seats or with tickets. `slug` is what its fixed id is made of.

    One with a layout has no ticket types: its seats have their own prices, and the map sells nothing else. If it is sold
    out, its seats get sold.
    """

    slug: str
    title: str
    artist: str
    description: str
    venue: str
    address: str
    status: Event.Status
    sale: tuple[Moment, Moment]
    begins: Moment
    tickets: tuple[Ticket, ...] = ()
    layout: Layout | None = None


SHOWS = (
    # --- On sale ------------------------------------------------------------------------------------------------------
    Show(
        slug="bus-stop",
        title="연극 〈비 오는 정류장〉",
        artist="극단 골목",
        description="막차가 오지 않는 밤, 세 사람이 우산 하나로 버팁니다. 공연 시간 90분, 쉬는 시간 없음.",
        venue="대학로예술극장 소극장",
        address="서울특별시 종로구 대학로10길 17",
        status=ON_SALE,
        sale=(on_day(-21, "14:00"), on_day(34, "17:00")),
        begins=on_day(35, "19:30"),
        layout=SMALL_THEATRE,
    ),
    Show(
        slug="moonlit-garden",
        title="달빛정원 앙코르 콘서트 [보름]",
        artist="달빛정원 (Moonlit Garden)",
        description="다섯 명의 보컬 그룹이 전국 순회를 서울에서 마칩니다. 플로어는 무대 앞, 스탠드는 사방입니다.",
        venue="KSPO DOME (올림픽체조경기장)",
        address="서울특별시 송파구 올림픽로 424",
        status=ON_SALE,
        sale=(on_day(-12, "20:00"), on_day(41, "23:59")),
        begins=on_day(43, "18:00"),
        layout=ARENA,
    ),
    Show(
        slug="year-end-ninth",
        title="여울 필하모닉 송년 음악회: 베토벤 교향곡 9번",
        artist="여울 필하모닉 (Yeoul Philharmonic)",
        description="독창자 네 명과 합창단 여든 명이 함께합니다. 1부 없이 전곡을 연주합니다.",
        venue="예술의전당 콘서트홀",
        address="서울특별시 서초구 남부순환로 2406",
        status=ON_SALE,
        sale=(on_day(-10, "14:00"), on_day(27, "17:00")),
        begins=on_day(28, "19:30"),
        layout=CONCERT_HALL,
    ),
    Show(
        slug="paper-lanterns",
        title="The Paper Lanterns: 첫 정규 앨범 쇼케이스",
        artist="종이등불 (The Paper Lanterns)",
        description="홍대에서 시작한 4인조 록 밴드의 첫 앨범 전곡 라이브.",
        venue="롤링홀",
        address="서울특별시 마포구 어울마당로 35",
        status=ON_SALE,
        sale=(on_day(-6, "12:00"), on_day(13, "18:00")),
        begins=on_day(13, "19:00"),
        tickets=(
            Ticket("스탠딩", 44_000, 300, 87, "입장 번호순"),
            Ticket("스탠딩 + CD", 59_000, 100, 100, "서명한 음반은 공연장에서"),
        ),
    ),
    Show(
        slug="river-jazz",
        title="북한강 재즈 주말",
        artist="여러 음악가",
        description="강가 잔디밭에서 이틀 동안 열두 팀. 비가 와도 합니다.",
        venue="자라섬",
        address="경기도 가평군 가평읍 자라섬로 60",
        status=ON_SALE,
        sale=(on_day(-4, "11:00"), on_day(55, "18:00")),
        begins=on_day(56, "13:00"),
        tickets=(
            Ticket("이틀권", 110_000, 3_000, 2_640, "토요일과 일요일"),
            Ticket("토요일권", 70_000, 2_000, 1_875, "하루 입장"),
            Ticket("일요일권", 70_000, 2_000, 1_960, "하루 입장"),
            Ticket("캠핑 자리", 40_000, 150, 3, "텐트 한 동, 입장권 별도"),
        ),
    ),
    Show(
        slug="lindgren-quartet",
        title="Clara Lindgren Quartet: Winter Light",
        artist="Clara Lindgren (클라라 린드그렌)",
        description="A Swedish saxophonist and her quartet, in Korea for the first time. 영어로 진행, 한국어 통역 있음.",
        venue="대전예술의전당 아트홀",
        address="대전광역시 서구 둔산대로 135",
        status=ON_SALE,
        sale=(on_day(-3, "10:00"), on_day(48, "17:00")),
        begins=on_day(49, "19:30"),
        layout=CONCERT_HALL,
    ),
    # --- Upcoming -----------------------------------------------------------------------------------------------------
    Show(
        slug="lumen9",
        title="LUMEN9 WORLD TOUR [ORBIT] IN INCHEON",
        artist="루멘나인 (LUMEN9)",
        description="월드 투어의 첫 공연. 판매는 곧 시작합니다: 대기열을 시험하기에 좋은 공연입니다.",
        venue="인스파이어 아레나",
        address="인천광역시 중구 공항문화로 127",
        status=UPCOMING,
        sale=(in_minutes(2), on_day(61, "23:59")),
        begins=on_day(63, "18:00"),
        layout=ARENA,
    ),
    Show(
        slug="logbook",
        title="뮤지컬 〈항해일지〉",
        artist="김도윤, 이하린 외",
        description="등대섬에 남은 일지 한 권에서 시작하는 창작 뮤지컬.",
        venue="블루스퀘어 신한카드홀",
        address="서울특별시 용산구 이태원로 294",
        status=UPCOMING,
        sale=(on_day(1, "20:00"), on_day(69, "17:00")),
        begins=on_day(70, "19:30"),
        layout=CONCERT_HALL,
    ),
    Show(
        slug="northern-echo",
        title="Northern Echo — Live in Seoul",
        artist="Northern Echo (노던 에코)",
        description="Dream pop from the far north, with a string section from Seoul.",
        venue="YES24 LIVE HALL",
        address="서울특별시 광진구 구천면로 20",
        status=UPCOMING,
        sale=(on_day(14, "12:00"), on_day(89, "18:00")),
        begins=on_day(90, "19:00"),
        tickets=(
            Ticket("1층 스탠딩", 121_000, 900, 900, "입장 번호순"),
            Ticket("2층 자유석", 132_000, 250, 250, "앉아서 보는 자리"),
        ),
    ),
    # --- Sold out -----------------------------------------------------------------------------------------------------
    Show(
        slug="yoon-recital",
        title="윤서하 피아노 독주회: 드뷔시 전주곡",
        artist="윤서하 (Seoha Yoon)",
        description="전주곡 1권과 2권 전곡을 하룻밤에 연주합니다.",
        venue="금호아트홀 연세",
        address="서울특별시 서대문구 연세로 50",
        status=SOLD_OUT,
        sale=(on_day(-30, "14:00"), on_day(19, "17:00")),
        begins=on_day(20, "20:00"),
        layout=SMALL_THEATRE,
    ),
    Show(
        slug="marble-night",
        title="DJ Marble: 바다 앞의 밤",
        artist="마블 (DJ Marble)",
        description="해 질 무렵부터 자정까지 이어지는 전자음악.",
        venue="벡스코 제1전시장",
        address="부산광역시 해운대구 APEC로 55",
        status=SOLD_OUT,
        sale=(on_day(-18, "20:00"), on_day(9, "18:00")),
        begins=on_day(10, "18:00"),
        tickets=(
            Ticket("스탠딩", 77_000, 2_500, 0, "입장 번호순"),
            Ticket("테이블 (4인)", 480_000, 30, 0, "음료 포함"),
        ),
    ),
    # --- Ended --------------------------------------------------------------------------------------------------------
    Show(
        slug="elixir",
        title="오페라 〈사랑의 묘약〉",
        artist="대구 시민 오페라단",
        description="도니체티의 희극 오페라 전 2막, 이탈리아어 공연에 한국어 자막.",
        venue="대구오페라하우스",
        address="대구광역시 북구 호암로 15",
        status=ENDED,
        sale=(on_day(-60, "14:00"), on_day(-8, "17:00")),
        begins=on_day(-7, "19:30"),
        layout=CONCERT_HALL,
    ),
    Show(
        slug="sanjo-wind",
        title="국악 한마당 〈바람의 산조〉",
        artist="청음회 (Cheongeum Ensemble)",
        description="가야금, 대금, 아쟁 산조와 새로 지은 시나위.",
        venue="국립아시아문화전당 극장1",
        address="광주광역시 동구 문화전당로 38",
        status=ENDED,
        sale=(on_day(-45, "10:00"), on_day(-3, "12:00")),
        begins=on_day(-2, "17:00"),
        tickets=(Ticket("전석", 30_000, 400, 41, "자유석"),),
    ),
    # --- Cancelled ----------------------------------------------------------------------------------------------------
    Show(
        slug="galaxy-final",
        title="은하컵 e스포츠 결승전",
        artist="은하컵 조직위원회",
        description="경기장 사정으로 취소되었습니다.",
        venue="잠실실내체육관",
        address="서울특별시 송파구 올림픽로 25",
        status=CANCELLED,
        sale=(on_day(-15, "20:00"), on_day(24, "18:00")),
        begins=on_day(25, "17:00"),
        layout=ARENA,
    ),
)
