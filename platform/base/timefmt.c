#include "platform/base/timefmt.h"

#include <stdio.h>
#include <string.h>

#define MS_PER_DAY INT64_C(86400000)
/* Years 0000 to 9999: what four digits can say. Instants outside are printed as the nearest of them. */
#define MS_FIRST INT64_C(-62167219200000)
#define MS_LAST INT64_C(253402300799999)

struct civil {
    int64_t year;
    unsigned month, day, hour, minute, second, ms;
};

/* Days since 1970-01-01 to year, month, day and back, proleptic Gregorian, by eras of 400 years that start in March
 * (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + (int64_t)d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t days, struct civil *c) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    c->day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    c->month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    c->year = yoe + era * 400 + (c->month <= 2);
}

static struct civil civil_from_ms(int64_t ms) {
    struct civil c;

    ms = ms < MS_FIRST ? MS_FIRST : ms > MS_LAST ? MS_LAST : ms;
    int64_t days = ms / MS_PER_DAY;
    int64_t rest = ms % MS_PER_DAY;
    if (rest < 0) {
        rest += MS_PER_DAY;
        days--;
    }
    civil_from_days(days, &c);
    c.hour = (unsigned)(rest / 3600000);
    c.minute = (unsigned)(rest / 60000 % 60);
    c.second = (unsigned)(rest / 1000 % 60);
    c.ms = (unsigned)(rest % 1000);
    return c;
}

static char *put_digits(char *out, unsigned v, int n) {
    for (int i = n - 1; i >= 0; i--, v /= 10) {
        out[i] = (char)('0' + v % 10);
    }
    return out + n;
}

/* Without printf: a status has dozens of times, and is made in every pass. */
void timefmt_rfc3339(int64_t ms, char out[TIMEFMT_MAX]) {
    struct civil c = civil_from_ms(ms);
    const struct {
        unsigned value;
        int digits;
        char after;
    } parts[] = {{(unsigned)c.year, 4, '-'}, {c.month, 2, '-'},  {c.day, 2, 'T'},
                 {c.hour, 2, ':'},           {c.minute, 2, ':'}, {c.second, 2, 'Z'}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        out = put_digits(out, parts[i].value, parts[i].digits);
        *out++ = parts[i].after;
    }
    *out = '\0';
}

void timefmt_micro(int64_t us, char out[TIMEFMT_MAX]) {
    us = us < MS_FIRST * 1000 ? MS_FIRST * 1000 : us > MS_LAST * 1000 + 999 ? MS_LAST * 1000 + 999 : us;
    int64_t ms = us / 1000;
    int64_t rest = us % 1000;
    if (rest < 0) {
        rest += 1000;
        ms--;
    }
    struct civil c = civil_from_ms(ms);
    (void)snprintf(out, TIMEFMT_MAX, "%04d-%02u-%02uT%02u:%02u:%02u.%03u%03dZ", (int)c.year, c.month, c.day, c.hour,
                   c.minute, c.second, c.ms, (int)rest);
}

void timefmt_basic(int64_t ms, char out[TIMEFMT_MAX]) {
    struct civil c = civil_from_ms(ms);
    (void)snprintf(out, TIMEFMT_MAX, "%04d%02u%02uT%02u%02u%02uZ", (int)c.year, c.month, c.day, c.hour, c.minute,
                   c.second);
}

/* Exactly `digits` decimal digits; moves *s over them. */
static bool number(const char **s, int digits, unsigned *out) {
    unsigned v = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*s)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (unsigned)(c - '0');
    }
    *s += digits;
    *out = v;
    return true;
}

static bool literal(const char **s, char want) {
    if (**s != want) {
        return false;
    }
    (*s)++;
    return true;
}

static unsigned days_in_month(unsigned year, unsigned month) {
    static const unsigned days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool clock_time(const char **s, struct civil *c) {
    return number(s, 2, &c->hour) && literal(s, ':') && number(s, 2, &c->minute) && literal(s, ':') &&
           number(s, 2, &c->second) && c->hour <= 23 && c->minute <= 59 && c->second <= 60;
}

static bool valid_date(const struct civil *c) {
    return c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= days_in_month((unsigned)c->year, c->month);
}

static int64_t civil_to_ms(const struct civil *c) {
    int64_t days = days_from_civil(c->year, c->month, c->day);
    int64_t seconds = (int64_t)c->hour * 3600 + (int64_t)c->minute * 60 + (int64_t)c->second;
    return days * MS_PER_DAY + seconds * 1000 + (int64_t)c->ms;
}

/* ".123456": any number of digits, the first three count. */
static bool fraction(const char **s, unsigned *ms) {
    unsigned scale = 100;

    *ms = 0;
    if (**s != '.') {
        return true;
    }
    (*s)++;
    if (**s < '0' || **s > '9') {
        return false;
    }
    for (; **s >= '0' && **s <= '9'; (*s)++) {
        *ms += (unsigned)(**s - '0') * scale;
        scale /= 10;
    }
    return true;
}

static bool zone(const char **s, int64_t *offset_ms) {
    unsigned h = 0;
    unsigned m = 0;

    *offset_ms = 0;
    if (**s == 'Z' || **s == 'z') {
        (*s)++;
        return true;
    }
    bool west = **s == '-';
    if (!west && **s != '+') {
        return false;
    }
    (*s)++;
    if (!number(s, 2, &h) || !literal(s, ':') || !number(s, 2, &m) || h > 23 || m > 59) {
        return false;
    }
    *offset_ms = ((int64_t)h * 60 + (int64_t)m) * 60000 * (west ? -1 : 1);
    return true;
}

bool timefmt_parse_rfc3339(const char *s, int64_t *ms) {
    struct civil c = {0};
    unsigned year = 0;
    int64_t offset = 0;

    if (s == NULL || !number(&s, 4, &year) || !literal(&s, '-') || !number(&s, 2, &c.month) || !literal(&s, '-') ||
        !number(&s, 2, &c.day)) {
        return false;
    }
    c.year = (int64_t)year;
    if (!valid_date(&c) || (*s != 'T' && *s != 't')) {
        return false;
    }
    s++;
    if (!clock_time(&s, &c) || !fraction(&s, &c.ms) || !zone(&s, &offset) || *s != '\0') {
        return false;
    }
    *ms = civil_to_ms(&c) - offset;
    return true;
}

/* One of the three-letter names in `all`; moves *s; the index goes to *which. */
static bool name3(const char **s, const char *all, unsigned *which) {
    if (strnlen(*s, 3) < 3) {
        return false;
    }
    for (unsigned i = 0; all[i * 3] != '\0'; i++) {
        if (memcmp(*s, all + (size_t)i * 3, 3) == 0) {
            *s += 3;
            *which = i;
            return true;
        }
    }
    return false;
}

bool timefmt_parse_http_date(const char *s, int64_t *ms) {
    struct civil c = {0};
    unsigned weekday = 0;
    unsigned month = 0;
    unsigned year = 0;

    if (s == NULL || !name3(&s, "SunMonTueWedThuFriSat", &weekday) || !literal(&s, ',') || !literal(&s, ' ') ||
        !number(&s, 2, &c.day) || !literal(&s, ' ') || !name3(&s, "JanFebMarAprMayJunJulAugSepOctNovDec", &month) ||
        !literal(&s, ' ') || !number(&s, 4, &year) || !literal(&s, ' ') || !clock_time(&s, &c)) {
        return false;
    }
    c.month = month + 1;
    c.year = (int64_t)year;
    if (!valid_date(&c) || strcmp(s, " GMT") != 0) {
        return false;
    }
    *ms = civil_to_ms(&c);
    return true;
}
