"""The words that frame an explanation, one set a language: what is not of the catalogue or of the portfolio."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """All words of `explain` in one language; templates in braces.

    A language is whole or is none: a field without its words is an error.
    """

    head: str
    policy: str
    window: str
    rated: str
    not_rated: str
    capped: str
    limited: str
    comma: str
    factor: str
    base: str
    mean_driver: str
    shrunk: str  # an event rate of too little driving to be told: what the model takes
    beside: str  # a value beside that of the middle of the reference book
    still: str
    adjustments: dict[str, str]  # by the names of `rebuild.Rebuilt.adjustments`
    other_policies: str
    driving: str
    month: str
    trips: str
    km: str
    hours: str
    kinds: dict[str, str]  # heads of columns, and among the events of a trip
    counted: str  # events of a kind
    no_trips: str
    no_tables: str
    stored: str
    most: str
    trip: str
    stands_for: str
    change: str
    too_little: str
    nothing: str
    held_fixed: str
    lowered: str
    stays: str
    held_by: dict[str, str]  # by what holds: band, limit
    with_trip: str
    no_event: str
    once: str
    monthly: str
    without: str
    with_it: str
    to: str
    relativity: str
    held: str
    both: str
    no_feature: str
    still_too_little: str
    slightly: str  # a feature whose effect changed although its value is told alike: why
    surer: str
    by_partner: str
    weightier: str


ENGLISH: Final = Words(
    head="policy {policy_id}, driver {driver_id}, {period_start} to {period_end}",
    policy="policy {policy_id}, driver {driver_id}",
    window="{exposure_km:,.0f} km, {trips:,} trips, {exposure_days:.0f} days in the window; acceleration known on "
    "{seen:.1%} of the distance",
    rated="credibility {credibility:.3f}, score {score:.1f}, tier {tier}",
    not_rated="too little driving, or too little of it seen, in the window for a factor of its own",
    capped="capped by the band",
    limited="limited by the renewal limit",
    comma=", ",
    factor="factor, the product of:",
    base="base factor of the book (off-balance)",
    mean_driver="mean driver of the reference book",
    shrunk="{told} (of little driving, drawn to the book's rate)",
    beside="{told} (middle of the book: {middle})",
    still="{count} more features of the model that have no effect here",
    adjustments={
        "step of the tier": "step of the tier",
        "own claims": "own claims",
        "band of the plan": "band of the plan",
        "renewal limit": "renewal limit",
        "not rateable, previous factor kept": "not rateable, previous factor kept",
        "fading of a kept discount": "fading of a kept discount (share kept at each rating: {share:.0%})",
    },
    other_policies="the same driver has other policies in the book: {policies}",
    driving="Driving",
    month="month",
    trips="trips",
    km="km",
    hours="hours",
    kinds={
        "harsh_braking": "harsh braking",
        "harsh_acceleration": "harsh acceleration",
        "harsh_turn_left": "harsh left turn",
        "harsh_turn_right": "harsh right turn",
        "impact": "impact",
        "speeding": "speeding",
        "idling": "idling",
    },
    counted="{count} x {kind}",
    no_trips="no trips in the window from {since} to {until}",
    no_tables="{folder} holds no trips.parquet and events.parquet: the trips behind it cannot be shown",
    stored="{count:,} trips stored in the window, {without:,} without any event",
    most="; most events:",
    trip="  {start:%Y-%m-%d %H:%M} UTC {distance_km:>7.1f} km, up to {max_speed_kmh:.0f} km/h: "
    "{told}{many}  ({trip_id})",
    stands_for=", stands for {represents}",
    change="What would change it",
    too_little="too little driving, or too little of it seen, in the window: whatever the driving, the factor stays",
    nothing="nothing in the table of changes would lower the factor by 0.01",
    held_fixed="B held fixed, same distance:",
    lowered="{text}: {before} to {after}",
    stays="{text}: stays {before}, by {held} ({indicated} to {would} before band and limit)",
    held_by={"band": "the band of the plan", "limit": "the renewal limit"},
    with_trip="with {trips} recorded trip(s) of {km:,.1f} km, {events}; driven {often}",
    no_event="no event",
    once="once, in the last month of the window",
    monthly="once in each of {times} months",
    without="factor without",
    with_it="factor with, B held fixed ({change:+.2%})",
    to="to",
    relativity="relativity indicated by the driving",
    held="; the factor is held by {held}",
    both=" and ",
    no_feature="no effect of the rating tables changes: this driving is already what the price says",
    still_too_little="too little driving, or too little of it seen, even so: the factor stays what it was",
    slightly="{told}: changed by less than these digits show",
    surer="{told}: unchanged, and surer with more distance",
    by_partner="{told}: unchanged; its effect also depends on {partners}",
    weightier="{told}: unchanged; every effect weighs more with more distance",
)
CHINESE: Final = Words(
    head="保单 {policy_id}，驾驶人 {driver_id}，{period_start} 至 {period_end}",
    policy="保单 {policy_id}，驾驶人 {driver_id}",
    window="观察期内 {exposure_km:,.0f} 公里，{trips:,} 次行程，{exposure_days:.0f} 天；加速度已知的里程占 {seen:.1%}",
    rated="可信度 {credibility:.3f}，评分 {score:.1f}，等级 {tier}",
    not_rated="观察期内驾驶数据不足，不单独定系数",
    capped="受费率区间限制",
    limited="受续保幅度限制",
    comma="，",
    factor="系数，等于以下各项之积：",
    base="全部保单的基础系数（总平衡）",
    mean_driver="参照保单的平均驾驶人",
    shrunk="{told}（里程太少，向全部保单的水平靠拢）",
    beside="{told}（参照保单的中位数：{middle}）",
    still="模型的其余 {count} 项特征在此没有影响",
    adjustments={
        "step of the tier": "等级调整",
        "own claims": "自身赔付记录",
        "band of the plan": "费率区间",
        "renewal limit": "续保幅度限制",
        "not rateable, previous factor kept": "数据不足，沿用上期系数",
        "fading of a kept discount": "沿用的优惠递减（每次定价保留 {share:.0%}）",
    },
    other_policies="该驾驶人在本批保单中的其他保单：{policies}",
    driving="驾驶记录",
    month="月份",
    trips="行程",
    km="公里",
    hours="小时",
    kinds={
        "harsh_braking": "急刹车",
        "harsh_acceleration": "急加速",
        "harsh_turn_left": "急左转",
        "harsh_turn_right": "急右转",
        "impact": "碰撞",
        "speeding": "超速",
        "idling": "怠速",
    },
    counted="{kind} {count} 次",
    no_trips="{since} 至 {until} 的观察期内没有行程",
    no_tables="{folder} 中没有 trips.parquet 和 events.parquet：无法列出行程",
    stored="观察期内存有 {count:,} 次行程，其中 {without:,} 次没有事件",
    most="；事件最多的行程：",
    trip="  {start:%Y-%m-%d %H:%M} UTC {distance_km:>7.1f} 公里，最高 {max_speed_kmh:.0f} 公里/小时："
    "{told}{many}  ({trip_id})",
    stands_for="，代表 {represents} 次",
    change="可以改变什么",
    too_little="观察期内驾驶数据不足：无论如何驾驶，系数保持不变",
    nothing="表中没有能使系数降低 0.01 的改变",
    held_fixed="总平衡系数 B 不变，里程不变：",
    lowered="{text}：{before} 降至 {after}",
    stays="{text}：系数仍为 {before}（{held}；限制之前 {indicated} 降至 {would}）",
    held_by={"band": "费率区间", "limit": "续保幅度限制"},
    with_trip="加入 {trips} 次已记录的行程，共 {km:,.1f} 公里，{events}；{often}",
    no_event="没有事件",
    once="行驶一次，计入观察期最后一个月",
    monthly="{times} 个月中每月行驶一次",
    without="不加该行程的系数",
    with_it="加入该行程的系数，总平衡系数 B 不变（{change:+.2%}）",
    to="至",
    relativity="驾驶行为对应的相对风险",
    held="；系数受制于{held}",
    both="和",
    no_feature="费率表中没有影响发生变化：这样的驾驶已体现在价格中",
    still_too_little="加入后驾驶数据仍不足：系数保持不变",
    slightly="{told}：变化小于所示位数",
    surer="{told}：数值不变，里程增加后更可靠",
    by_partner="{told}：数值不变，其影响还取决于：{partners}",
    weightier="{told}：数值不变，里程增加后各项影响的权重增大",
)
WORDS: Final = {"en": ENGLISH, "zh": CHINESE}


def width(text: str) -> int:
    """Columns that a text takes in a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def right(text: str, columns: int) -> str:
    """A text at the right of so many columns."""
    return " " * (columns - width(text)) + text


def left(text: str, columns: int) -> str:
    """A text at the left of so many columns."""
    return text + " " * (columns - width(text))
