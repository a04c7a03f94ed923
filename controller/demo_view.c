/* demo_view.c - frames on a terminal, lines elsewhere. */
#include "controller/demo_view.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "platform/base/buf.h"
#include "platform/base/str.h"

#define FRAME_MAX ((size_t)256 * 1024)
#define WIDTH_MAX 400
#define FIXED_LINES 18 /* of a frame, next to groups and journal */

enum color { NO_COLOR, GREEN, YELLOW, RED, BLUE, DIM, BOLD };
static const char *const codes[] = {"", "32", "33", "31", "36", "2", "1"};

struct said {
    enum demo_mark mark;
    char text[DEMO_TEXT_MAX];
};

struct demo_view {
    FILE *out;
    bool live, color, utf8;
    char title[DEMO_TEXT_MAX];
    int width, height, drawn; /* lines of the last frame */
    struct said said[DEMO_LINES_MAX];
    int nsaid; /* so far: the last are in said[] */
    struct demo_picture last;
    bool has_last;
};

static const char *const gate_titles[DEMO_GATES] = {"provider, cluster", "role",    "proof of the role",
                                                    "injection",         "rollout", "proof of the pods",
                                                    "detachment",        "guard"};

/* --- text --- */

/* Bytes that fit into `columns`; continuation bytes of UTF-8 take none. */
static size_t fitting(const char *s, int columns) {
    size_t n = 0;
    for (; s[n]; n++)
        if (((unsigned char)s[n] & 0xc0) != 0x80 && columns-- <= 0)
            break;
    return n;
}

static void paint(const struct demo_view *v, struct buf *b, enum color c, const char *text, int columns) {
    bool colored = v->color && c != NO_COLOR;
    if (colored)
        buf_printf(b, "\033[%sm", codes[c]);
    buf_append(b, text, fitting(text, columns));
    if (colored)
        buf_puts(b, "\033[0m");
}

static void clean(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static void end_line(const struct demo_view *v, struct buf *b) {
    buf_puts(b, v->live ? "\033[K\n" : "\n");
}

static enum color color_of_mark(enum demo_mark m) {
    static const enum color colors[] = {NO_COLOR, GREEN, RED, BLUE};
    return colors[m];
}

static enum color color_of_gate(const char *state) {
    if (str_eq(state, "Passed") || str_eq(state, "NotApplicable"))
        return GREEN;
    if (str_eq(state, "Waiting"))
        return YELLOW;
    return str_eq(state, "Failed") ? RED : DIM;
}

/* --- nodes --- */

static bool is_well(const struct sim_node_row *r) {
    return r->identity != SIM_POD_NONE && r->ready;
}

static const char *symbol(const struct demo_view *v, const struct sim_node_row *r) {
    if (!is_well(r))
        return v->utf8 ? "×" : "x";
    if (r->identity == SIM_POD_OWN_ROLE)
        return v->utf8 ? "●" : "#";
    return v->utf8 ? "○" : ".";
}

static enum color color_of_node(const struct sim_node_row *r) {
    if (!is_well(r))
        return RED;
    return r->identity == SIM_POD_OWN_ROLE ? GREEN : YELLOW;
}

static int draw_symbols(const struct demo_view *v, struct buf *b, const struct demo_picture *p, const char *group,
                        int room) {
    int n = 0;
    for (int i = 0; i < p->nrows && n < room; i++)
        if (str_eq(p->rows[i].group, group)) {
            paint(v, b, color_of_node(&p->rows[i]), symbol(v, &p->rows[i]), 1);
            n++;
        }
    return n;
}

static void draw_group(const struct demo_view *v, struct buf *b, const struct demo_picture *p,
                       const struct demo_group *g) {
    char text[160];
    snprintf(text, sizeof text, "  %-9s ", g->name);
    paint(v, b, NO_COLOR, text, v->width);
    int n = draw_symbols(v, b, p, g->name, v->width > 70 ? v->width - 58 : 10);
    snprintf(text, sizeof text, "%*s%s: ", n < 14 ? 16 - n : 2, "", g->role);
    paint(v, b, DIM, text, v->width);
    paint(v, b, g->role_allows ? YELLOW : GREEN, g->role_allows ? "CNI policy attached" : "CNI policy off", v->width);
    end_line(v, b);
}

/* --- frames --- */

static void draw_gate(const struct demo_view *v, struct buf *b, const struct demo_gate *g, int i) {
    char text[80];
    const char *state = g->state[0] ? g->state : "-";
    snprintf(text, sizeof text, "  G%d %-18s", i + 1, gate_titles[i]);
    paint(v, b, str_eq(state, "-") ? DIM : NO_COLOR, text, v->width);
    snprintf(text, sizeof text, "%-14s", state);
    paint(v, b, color_of_gate(state), text, v->width);
    paint(v, b, DIM, g->evidence, v->width - 38);
    end_line(v, b);
}

static void draw_counts(const struct demo_view *v, struct buf *b, const struct demo_picture *p) {
    char text[DEMO_TEXT_MAX];
    end_line(v, b);
    snprintf(text, sizeof text, "  AWS: %lld calls, %d writes    invariants broken: %d", (long long)p->aws_calls,
             p->aws_writes, p->violations);
    paint(v, b, p->violations ? RED : NO_COLOR, text, v->width - 1);
    end_line(v, b);
    snprintf(text, sizeof text, "  Ready: %.220s", p->ready);
    paint(v, b, NO_COLOR, text, v->width - 1);
    end_line(v, b);
    end_line(v, b);
}

static int draw_journal(const struct demo_view *v, struct buf *b, int room) {
    int have = v->nsaid < DEMO_LINES_MAX ? v->nsaid : DEMO_LINES_MAX;
    int n = have < room ? have : room;
    for (int i = v->nsaid - n; i < v->nsaid; i++) {
        const struct said *s = &v->said[i % DEMO_LINES_MAX];
        paint(v, b, color_of_mark(s->mark), s->text, v->width - 1);
        end_line(v, b);
    }
    return n > 0 ? n : 0;
}

static void measure(struct demo_view *v) {
    struct winsize size = {0};
    bool known = ioctl(fileno(v->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    v->width = known && size.ws_col < WIDTH_MAX ? size.ws_col : 100;
    v->height = known ? size.ws_row : 40;
}

static void draw_frame(struct demo_view *v, const struct demo_picture *p) {
    struct buf b;
    char text[DEMO_TEXT_MAX];
    buf_init(&b, FRAME_MAX);
    measure(v);
    buf_puts(&b, "\033[?25l\033[?7l"); /* no cursor; what is too long is cut */
    if (v->drawn)
        buf_printf(&b, "\033[%dA\r", v->drawn);
    snprintf(text, sizeof text, "%5.1f s  %.200s", (double)p->elapsed_ms / 1000, v->title);
    paint(v, &b, BOLD, text, v->width - 1);
    end_line(v, &b);
    end_line(v, &b);
    for (int i = 0; i < DEMO_GATES; i++)
        draw_gate(v, &b, &p->gates[i], i);
    end_line(v, &b);
    for (int i = 0; i < p->ngroups; i++)
        draw_group(v, &b, p, &p->groups[i]);
    snprintf(text, sizeof text, "  %s role of its own  %s node role  %s not Ready", v->utf8 ? "●" : "#",
             v->utf8 ? "○" : ".", v->utf8 ? "×" : "x");
    paint(v, &b, DIM, text, v->width - 1);
    end_line(v, &b);
    draw_counts(v, &b, p);
    v->drawn = FIXED_LINES - 2 + p->ngroups + draw_journal(v, &b, v->height - FIXED_LINES - p->ngroups - 1);
    buf_puts(&b, "\033[J\033[?7h");
    fwrite(buf_str(&b), 1, b.n, v->out);
    fflush(v->out);
    buf_done(&b);
}

/* --- lines --- */

static void print_line(const struct demo_view *v, enum demo_mark mark, const char *text) {
    struct buf b;
    buf_init(&b, FRAME_MAX);
    paint(v, &b, color_of_mark(mark), text, WIDTH_MAX);
    fprintf(v->out, "%s\n", buf_str(&b));
    fflush(v->out);
    buf_done(&b);
}

void demo_view_say(struct demo_view *v, enum demo_mark mark, int64_t elapsed_ms, const char *fmt, ...) {
    static const char marks[] = " +!~";
    struct said *s = &v->said[v->nsaid++ % DEMO_LINES_MAX];
    va_list ap;
    s->mark = mark;
    int n = snprintf(s->text, sizeof s->text, "%5.1f s  %c ", (double)elapsed_ms / 1000, marks[mark]);
    va_start(ap, fmt);
    vsnprintf(s->text + n, sizeof s->text - (size_t)n, fmt, ap);
    va_end(ap);
    clean(s->text);
    if (!v->live)
        print_line(v, mark, s->text);
}

static bool same_nodes(const struct demo_picture *a, const struct demo_picture *b) {
    if (a->nrows != b->nrows)
        return false;
    for (int i = 0; i < a->nrows; i++)
        if (is_well(&a->rows[i]) != is_well(&b->rows[i]) || a->rows[i].identity != b->rows[i].identity)
            return false;
    return true;
}

static void say_nodes(struct demo_view *v, const struct demo_picture *p) {
    struct buf b;
    buf_init(&b, FRAME_MAX);
    for (int i = 0; i < p->ngroups; i++) {
        buf_printf(&b, "%s%s ", i ? "  " : "", p->groups[i].name);
        for (int r = 0; r < p->nrows; r++)
            if (str_eq(p->rows[r].group, p->groups[i].name))
                buf_puts(&b, symbol(v, &p->rows[r]));
    }
    demo_view_say(v, DEMO_PLAIN, p->elapsed_ms, "%s", buf_str(&b));
    buf_done(&b);
}

static void say_differences(struct demo_view *v, const struct demo_picture *p) {
    for (int i = 0; i < DEMO_GATES; i++) {
        const struct demo_gate *g = &p->gates[i];
        if (g->state[0] && !str_eq(g->state, "Pending") && !str_eq(g->state, v->last.gates[i].state))
            demo_view_say(v, str_eq(g->state, "Failed") ? DEMO_BAD : DEMO_GOOD, p->elapsed_ms, "%s %s %s: %s", g->name,
                          gate_titles[i], g->state, g->evidence);
    }
    if (!v->has_last || !same_nodes(&v->last, p))
        say_nodes(v, p);
    for (int i = 0; i < p->ngroups && v->has_last && v->last.ngroups == p->ngroups; i++)
        if (p->groups[i].role_allows != v->last.groups[i].role_allows)
            demo_view_say(v, DEMO_PLAIN, p->elapsed_ms, "%s: pods on the node role %s %s", p->groups[i].name,
                          p->groups[i].role, p->groups[i].role_allows ? "may do what the CNI does" : "no longer may");
}

void demo_view_draw(struct demo_view *v, const struct demo_picture *p) {
    if (v->live)
        draw_frame(v, p);
    else
        say_differences(v, p);
    v->last = *p;
    v->has_last = true;
}

/* --- life --- */

struct demo_view *demo_view_new(FILE *out, bool live, bool color, const char *title) {
    struct demo_view *v = calloc(1, sizeof *v);
    if (!v)
        die("out of memory");
    *v = (struct demo_view){.out = out, .live = live, .color = color};
    const char *locale = str_or(getenv("LC_ALL"), str_or(getenv("LC_CTYPE"), str_or(getenv("LANG"), "")));
    v->utf8 = strcasestr(locale, "utf-8") || strcasestr(locale, "utf8");
    snprintf(v->title, sizeof v->title, "%s", title);
    measure(v);
    if (!live)
        demo_view_say(v, DEMO_PLAIN, 0, "%s (%s role of its own, %s node role, %s not Ready)", title,
                      v->utf8 ? "●" : "#", v->utf8 ? "○" : ".", v->utf8 ? "×" : "x");
    return v;
}

void demo_view_settle(struct demo_view *v) {
    if (v->live) {
        fputs("\033[?25h", v->out);
        fflush(v->out);
    }
    v->live = false;
}

void demo_view_free(struct demo_view *v) {
    if (v)
        demo_view_settle(v);
    free(v);
}
