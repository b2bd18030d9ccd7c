/*
 * load.c - puts load on an IMAP4 or POP3 proxy: one thread, epoll.
 *
 *   load MODE --port N [options]
 *
 *   login    connect, TLS, greeting, log-in, one NOOP, LOGOUT; again and again
 *   bulk     each logged-in client fetches a message of --size octets again and again
 *   upload   each logged-in client appends one again and again (IMAP only)
 *   echo     each logged-in client sends one NOOP after the other
 *   idle     opens --clients sessions (IMAP: in IDLE), and later asks each whether it is alive
 *
 *   --protocol imap|pop3     --tls none|tls|starttls     --clients N
 *   --seconds S      how long to go on; 0: until --count
 *   --count N        log-ins or operations in all; 0: no limit
 *   --size OCTETS    of a message
 *   --users N        names in rotation
 *   --ramp N         how many sessions are opened at a time, except with login
 *   --active N       echo: so many of the clients send, the others stay quiet; 0: all
 *   --pace MS        login: a log-in begins each MS milliseconds, if a client is free
 *   --deadline S     when to give up
 *
 * It prints one line of JSON when it is set up, {"event": "ready"}, and waits for a line on
 * its standard input; then works, prints its result, waits for another line, and closes. At
 * the end of its input it does not wait. Status 0 means that there were no errors.
 */
#define _GNU_SOURCE
#include "octets.h"
#include "tls13.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define RECORD_SIZE 16384           /* most octets that a TLS record holds */
#define RECORD_LIMIT (RECORD_SIZE + 256)
#define TURN 8                      /* reads of one session before the others have their turn */
#define ERROR_LIMIT 200
#define STALL_SECONDS 15
#define DRAIN_SECONDS 10
#define SECOND 1000000000ull

enum mode { LOGIN, BULK, UPLOAD, ECHO, IDLE };
enum tls_mode { NO_TLS, TLS, STARTTLS };
static const char *const mode_names[] = { "login", "bulk", "upload", "echo", "idle", NULL };
static const char *const tls_names[] = { "none", "tls", "starttls", NULL };
static const char *const protocol_names[] = { "imap", "pop3", NULL };

/* What comes next from the server. */
enum state {
    CLOSED,
    CONNECTING,                     /* the connection itself, where the client speaks first */
    PLAIN_GREETING, STARTTLS_ANSWER, HANDSHAKE, GREETING, USER_ANSWER, LOGIN_ANSWER,
    /* From here on it is logged in. */
    IDLE_ANSWER,
    READY,                          /* nothing: it waits for us */
    NOOP_ANSWER, FETCH_ANSWER, FETCH_END, APPEND_GO, APPEND_ANSWER, DONE_ANSWER, LOGOUT_ANSWER,
};

struct session {
    int fd;
    enum state state;
    uint32_t events;
    int is_tls;
    struct tls13 *tls;
    struct octets in;               /* the start of a TLS record */
    struct octets out;
    char line[512];
    size_t line_size;
    uint64_t literal;               /* octets of a message still to come */
    uint64_t upload;                /* and still to send */
    unsigned offset;                /* where in the pattern the message is */
    uint64_t began;                 /* the log-in, or the operation */
};

static struct {
    enum mode mode;
    int is_pop3;
    enum tls_mode tls;
    int port, clients, users, ramp, active;
    uint64_t count, size;
    double seconds, pace, deadline;
} options = { .clients = 16, .users = 100, .ramp = 32, .seconds = 5, .size = 8 << 20, .deadline = 120 };

static struct {
    uint64_t started, done, octets, errors;
    char first_error[200];
} totals;

static int epoll;
static struct session *sessions;
static int open_sessions;           /* connected */
static int opening;                 /* of these, not logged in yet */
static int resting;                 /* of these, READY */
static int is_running;
static uint64_t progress;           /* changes as long as anything happens */
static uint64_t run_end, last_done;
static uint8_t buffer[RECORD_LIMIT + READ_SIZE];
static char pattern[64 * 1024 + 64];

static float *samples;              /* microseconds */
static size_t sample_count, sample_capacity;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* ---- samples ---- */

static void add_sample(uint64_t since)
{
    if (sample_count == sample_capacity) {
        sample_capacity = sample_capacity ? 2 * sample_capacity : 65536;
        if (!(samples = realloc(samples, sample_capacity * sizeof *samples)))
            die("realloc");
    }
    samples[sample_count++] = (now() - since) / 1000.0f;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(double percent)
{
    return sample_count ? samples[(size_t)(percent / 100 * (sample_count - 1) + 0.5)] : 0;
}

/* ---- sessions: beginning, end, sending ---- */

static void watch(struct session *s, uint32_t events)
{
    if (s->events == events)
        return;
    struct epoll_event event = { .events = events, .data.ptr = s };
    if (epoll_ctl(epoll, s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &event))
        die("epoll_ctl");
    s->events = events;
}

/* Every change of state goes through here, so that the counts are right. */
static void set_state(struct session *s, enum state state)
{
    int was_open = s->state != CLOSED, is_open = state != CLOSED;
    int was_opening = was_open && s->state < READY, is_opening = is_open && state < READY;
    open_sessions += is_open - was_open;
    opening += is_opening - was_opening;
    resting += (state == READY) - (s->state == READY);
    s->state = state;
    progress++;
}

static void close_session(struct session *s)
{
    close(s->fd);
    s->fd = -1;
    s->events = 0;
    s->is_tls = 0;
    octets_empty(&s->in);
    octets_empty(&s->out);
    s->line_size = s->literal = s->upload = 0;
    set_state(s, CLOSED);
}

static void open_session(struct session *s);

static int may_start(void)
{
    return is_running && (!run_end || now() < run_end) &&
           (!options.count || totals.started < options.count);
}

/* With a pace, the main loop begins the log-ins. */
static void open_again(struct session *s)
{
    if (options.mode == LOGIN && !options.pace && may_start())
        open_session(s);
}

static void fail(struct session *s, const char *what, const char *detail)
{
    if (!totals.errors++) {
        snprintf(totals.first_error, sizeof totals.first_error, "in state %d: %s%s", s->state, what, detail);
        for (char *c = totals.first_error; *c; c++)
            if (*c == '"' || *c == '\\' || *c < ' ' || *c > '~')
                *c = ' ';
    }
    close_session(s);
    if (totals.errors < ERROR_LIMIT)
        open_again(s);
}

static void add_octets(struct session *s, const void *data, size_t size)
{
    if (s->is_tls)
        tls13_send(s->tls, data, size, &s->out);
    else
        octets_add(&s->out, data, size);
}

/* Send what there is, uploads included. */
static void flush(struct session *s)
{
    for (int turn = 0;;) {
        size_t size = octets_size(&s->out);
        if (!size && s->state == APPEND_ANSWER && s->upload && turn++ < TURN) {
            size = s->upload < RECORD_SIZE ? s->upload : RECORD_SIZE;
            add_octets(s, pattern + (options.size - s->upload) % 64, size);
            s->upload -= size;
            totals.octets += size;
            progress++;
            if (!s->upload)
                add_octets(s, "\r\n", 2);
            continue;
        }
        if (!size) {
            watch(s, s->upload && s->state == APPEND_ANSWER ? EPOLLIN | EPOLLOUT : EPOLLIN);
            return;
        }
        ssize_t sent = send(s->fd, octets_first(&s->out), size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            watch(s, EPOLLIN | EPOLLOUT);
            return;
        }
        if (sent < 0) {
            fail(s, "sending: ", strerror(errno));
            return;
        }
        octets_drop(&s->out, sent);
    }
}

/* Say something, and wait for what the next state says. */
__attribute__((format(printf, 3, 4)))
static void say(struct session *s, enum state next, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_octets(s, text, size);
    set_state(s, next);
    flush(s);
}

static void open_session(struct session *s)
{
    int one = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(options.port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    totals.started++;
    s->began = now();
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        die("socket");
    set_state(s, options.tls == TLS ? CONNECTING : options.tls ? PLAIN_GREETING : GREETING);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail(s, "connect: ", strerror(errno));
    else
        watch(s, options.tls == TLS ? EPOLLOUT : EPOLLIN);
}

static void start_tls(struct session *s)
{
    tls13_start(&s->tls, &s->out);
    s->is_tls = 1;
    set_state(s, HANDSHAKE);
    flush(s);
}

/* ---- what sessions say ---- */

static void log_in(struct session *s)
{
    static unsigned turn;
    unsigned user = turn++ % options.users;
    if (options.is_pop3)
        say(s, USER_ANSWER, "USER user%u@example.org\r\n", user);
    else
        say(s, LOGIN_ANSWER, "l LOGIN user%u@example.org pass%u\r\n", user, user);
}

static void start_operation(struct session *s)
{
    unsigned long long size = options.size;
    if (!may_start()) {
        set_state(s, READY);
        return;
    }
    totals.started++;
    s->began = now();
    if (options.mode == ECHO)
        say(s, NOOP_ANSWER, options.is_pop3 ? "NOOP\r\n" : "n NOOP\r\n");
    else if (options.mode == UPLOAD)
        say(s, APPEND_GO, "u APPEND INBOX {%llu}\r\n", size);
    else if (options.is_pop3)
        say(s, FETCH_ANSWER, "RETR %llu\r\n", size / 1024);
    else
        say(s, FETCH_ANSWER, "f FETCH 1 BODY[]<0.%llu>\r\n", size);
}

static void end_operation(struct session *s)
{
    add_sample(s->began);
    totals.done++;
    last_done = now();
    start_operation(s);
}

static void logged_in(struct session *s)
{
    if (options.mode == LOGIN) {
        add_sample(s->began);
        say(s, NOOP_ANSWER, options.is_pop3 ? "NOOP\r\n" : "n NOOP\r\n");
    } else if (options.mode == IDLE && !options.is_pop3) {
        say(s, IDLE_ANSWER, "i IDLE\r\n");
    } else {
        set_state(s, READY);
    }
}

static void logged_out(struct session *s)
{
    totals.done++;
    last_done = now();
    close_session(s);
    open_again(s);
}

static void noop_answered(struct session *s)
{
    if (options.mode == LOGIN) {
        say(s, LOGOUT_ANSWER, options.is_pop3 ? "QUIT\r\n" : "q LOGOUT\r\n");
    } else if (options.mode == IDLE) {
        totals.done++;
        set_state(s, READY);
    } else {
        end_operation(s);
    }
}

/* The line that announces a message: of how many octets? */
static void take_fetch_answer(struct session *s)
{
    const char *number = options.is_pop3 ? s->line + 3 : strrchr(s->line, '{');
    if (!number || (options.is_pop3 ? strncmp(s->line, "+OK ", 4) : s->line[0] != '*')) {
        fail(s, "no message: ", s->line);
        return;
    }
    s->literal = strtoull(number + 1, NULL, 10);
    s->offset = 0;
    set_state(s, FETCH_END);
}

/* "OK" with any tag, or as a greeting; "+OK". */
static int is_good(const char *line)
{
    return options.is_pop3 ? !strncmp(line, "+OK", 3) : line[0] && !strncasecmp(line + 1, " OK", 3);
}

static void take_line(struct session *s)
{
    enum state state = s->state;
    int is_greeting = state == GREETING || state == PLAIN_GREETING;
    if (state == FETCH_ANSWER) {
        take_fetch_answer(s);
        return;
    }
    if (!options.is_pop3) {
        if (s->line[0] == '*' && !is_greeting)
            return;                 /* untagged responses do not matter */
        if (state == FETCH_END && !strcmp(s->line, ")"))
            return;
    }
    int goes_on = state == APPEND_GO || state == IDLE_ANSWER;
    int is_end = options.is_pop3 && state == FETCH_END;
    if (goes_on ? s->line[0] != '+' : is_end ? strcmp(s->line, ".") : !is_good(s->line)) {
        fail(s, "answer: ", s->line);
        return;
    }
    switch (state) {
    case PLAIN_GREETING:
        say(s, STARTTLS_ANSWER, options.is_pop3 ? "STLS\r\n" : "s STARTTLS\r\n");
        break;
    case STARTTLS_ANSWER:
        start_tls(s);
        break;
    case GREETING:
        log_in(s);
        break;
    case USER_ANSWER:
        say(s, LOGIN_ANSWER, "PASS secret\r\n");
        break;
    case LOGIN_ANSWER:
        logged_in(s);
        break;
    case IDLE_ANSWER:
        set_state(s, READY);
        break;
    case DONE_ANSWER:
        say(s, NOOP_ANSWER, "n NOOP\r\n");
        break;
    case NOOP_ANSWER:
        noop_answered(s);
        break;
    case FETCH_END:
    case APPEND_ANSWER:
        end_operation(s);
        break;
    case APPEND_GO:
        s->upload = options.size;
        set_state(s, APPEND_ANSWER);
        flush(s);
        break;
    case LOGOUT_ANSWER:
        logged_out(s);
        break;
    default:
        fail(s, "unasked: ", s->line);
    }
}

/* ---- what comes in ---- */

/* Plain text. Returns 0 when the session is another one now, or none. */
static int take_octets(struct session *s, const char *data, size_t size)
{
    int fd = s->fd;
    for (size_t n; size; data += n, size -= n) {
        if (s->literal) {
            n = size < s->literal ? size : s->literal;
            if (data[0] != pattern[s->offset] || data[n - 1] != pattern[(s->offset + n - 1) % 64]) {
                fail(s, "the message has changed", "");
                return 0;
            }
            s->offset = (s->offset + n) % 64;
            s->literal -= n;
            totals.octets += n;
            progress++;
            continue;
        }
        const char *end = memchr(data, '\n', size);
        n = end ? (size_t)(end - data) + 1 : size;
        if (s->line_size + n >= sizeof s->line) {
            fail(s, "a line that is too long", "");
            return 0;
        }
        memcpy(s->line + s->line_size, data, n);
        s->line_size += n;
        if (!end)
            continue;
        size_t length = s->line_size - 1;
        if (length && s->line[length - 1] == '\r')
            length--;
        s->line[length] = 0;
        s->line_size = 0;
        int was_tls = s->is_tls;
        take_line(s);
        if (s->fd != fd || s->state == CONNECTING || s->is_tls != was_tls)
            return 0;
    }
    return 1;
}

/* Records, the last one perhaps not whole. Returns 0 as take_octets() does. */
static int take_records(struct session *s, uint8_t *data, size_t size)
{
    while (size >= 5) {
        size_t record = 5 + (data[3] << 8 | data[4]), inner_size = 0;
        uint8_t *inner = NULL;
        if (record > RECORD_LIMIT) {
            fail(s, "a TLS record that is too long", "");
            return 0;
        }
        if (record > size)
            break;
        switch (tls13_take(s->tls, data, record, &s->out, &inner, &inner_size)) {
        case TLS13_NOTHING:
            break;
        case TLS13_UP:
            if (options.tls == STARTTLS) {
                log_in(s);
            } else {
                set_state(s, GREETING);
                flush(s);
            }
            if (s->state == CLOSED || s->state == CONNECTING)
                return 0;
            break;
        case TLS13_DATA:
            if (!take_octets(s, (char *)inner, inner_size))
                return 0;
            break;
        case TLS13_CLOSED:
            fail(s, "a TLS alert", "");
            return 0;
        case TLS13_BROKEN:
            fail(s, "a TLS record that makes no sense", "");
            return 0;
        }
        data += record;
        size -= record;
    }
    octets_empty(&s->in);
    octets_add(&s->in, data, size);
    return 1;
}

static void receive(struct session *s)
{
    for (int turn = 0; turn < TURN; turn++) {
        size_t kept = octets_size(&s->in);
        if (kept)
            memcpy(buffer, octets_first(&s->in), kept);
        ssize_t size = recv(s->fd, buffer + kept, READ_SIZE, 0);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0) {
            fail(s, size ? strerror(errno) : "the connection was closed", "");
            return;
        }
        if (!(s->is_tls ? take_records(s, buffer, kept + size) : take_octets(s, (char *)buffer, size)))
            return;
        if (size < READ_SIZE)
            return;
    }
}

static void take_event(struct session *s, uint32_t events)
{
    if (s->fd < 0)
        return;
    if (s->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error)
            fail(s, "connect: ", strerror(error));
        else
            start_tls(s);
        return;
    }
    int fd = s->fd;
    if (events & EPOLLOUT)
        flush(s);
    if (s->fd == fd && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(s);
}

static void turn(int milliseconds)
{
    struct epoll_event events[512];
    int count = epoll_wait(epoll, events, 512, milliseconds);
    for (int i = 0; i < count; i++)
        take_event(events[i].data.ptr, events[i].events);
}

/* ---- the run ---- */

/* Whether to go on: not after too many errors, a standstill, or the deadline. */
static int goes_well(void)
{
    static uint64_t began, seen, seen_at;
    uint64_t t = now();
    const char *what = NULL;
    if (!began)
        began = t;
    if (seen != progress || !seen_at) {
        seen = progress;
        seen_at = t;
    }
    if (t - seen_at > STALL_SECONDS * SECOND)
        what = "nothing happens any more";
    else if (t - began > options.deadline * SECOND)
        what = "the deadline has passed";
    else if (run_end && t > run_end + DRAIN_SECONDS * SECOND)
        what = "it does not come to an end";
    if (what && !totals.errors++)
        snprintf(totals.first_error, sizeof totals.first_error, "%s", what);
    return !what && totals.errors < ERROR_LIMIT;
}

/* Print where we are, and serve the sessions until a line comes on standard input. */
static void wait_for_line(void)
{
    struct pollfd both[2] = { { .fd = 0, .events = POLLIN }, { .fd = epoll, .events = POLLIN } };
    fflush(stdout);
    while (poll(both, 2, -1) > 0) {
        if (both[1].revents)
            turn(0);
        if (both[0].revents) {
            char c;
            while (read(0, &c, 1) == 1 && c != '\n')
                ;
            return;
        }
    }
}

static void print_ready(double seconds)
{
    printf("{\"event\": \"ready\", \"sessions\": %d, \"errors\": %llu, \"first_error\": \"%s\", "
           "\"seconds\": %.3f}\n",
           resting, (unsigned long long)totals.errors, totals.first_error, seconds);
}

static void print_result(double seconds)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
                 (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(samples, sample_count, sizeof *samples, compare);
    printf("{\"event\": \"result\", \"seconds\": %.6f, \"done\": %llu, \"octets\": %llu, "
           "\"p50_us\": %.1f, \"p95_us\": %.1f, \"p99_us\": %.1f, \"sessions\": %d, "
           "\"errors\": %llu, \"first_error\": \"%s\", \"load_cpu\": %.3f}\n",
           seconds, (unsigned long long)totals.done, (unsigned long long)totals.octets,
           percentile(50), percentile(95), percentile(99), open_sessions,
           (unsigned long long)totals.errors, totals.first_error, cpu);
}

static void run_logins(uint64_t began)
{
    uint64_t due = began, pace = options.pace * 1e6;
    int next = 0;
    if (!pace)
        for (int i = 0; i < options.clients && may_start(); i++)
            open_session(&sessions[i]);
    while ((open_sessions || (pace && may_start())) && goes_well()) {
        int milliseconds = 200;
        if (pace && may_start()) {
            struct session *s = &sessions[next];
            if (now() >= due && s->state == CLOSED) {
                open_session(s);
                next = (next + 1) % options.clients;
                due += pace;
            }
            milliseconds = 1;
        }
        turn(milliseconds);
    }
    totals.errors += open_sessions;
}

static void open_all(void)
{
    for (int next = 0; (next < options.clients || opening) && goes_well();) {
        while (next < options.clients && opening < options.ramp)
            open_session(&sessions[next++]);
        turn(200);
    }
}

/* Ask each idle session; some hundreds at a time. */
static void run_checks(void)
{
    for (int next = 0; (next < options.clients || open_sessions > resting) && goes_well();) {
        while (next < options.clients && open_sessions - resting < 256) {
            struct session *s = &sessions[next++];
            if (s->state == READY)
                say(s, options.is_pop3 ? NOOP_ANSWER : DONE_ANSWER, options.is_pop3 ? "NOOP\r\n" : "DONE\r\n");
        }
        turn(200);
    }
}

static void run_operations(void)
{
    int active = options.active ? options.active : options.clients;
    for (int i = 0; i < active; i++)
        if (sessions[i].state == READY)
            start_operation(&sessions[i]);
    while (open_sessions > resting && goes_well())
        turn(200);
    totals.errors += open_sessions - resting;
}

static int choose(const char *const *names, const char *name)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], name))
            return i;
    fprintf(stderr, "load: unknown: %s\n", name);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "protocol", 1, 0, 'P' }, { "port", 1, 0, 'p' }, { "tls", 1, 0, 't' },
        { "clients", 1, 0, 'c' }, { "seconds", 1, 0, 's' }, { "count", 1, 0, 'n' },
        { "size", 1, 0, 'o' }, { "users", 1, 0, 'u' }, { "ramp", 1, 0, 'r' },
        { "active", 1, 0, 'a' }, { "pace", 1, 0, 'm' }, { "deadline", 1, 0, 'd' },
        { 0, 0, 0, 0 },
    };
    if (argc < 2) {
        fprintf(stderr, "usage: load MODE --port N [options]\n");
        exit(2);
    }
    options.mode = choose(mode_names, argv[1]);
    optind = 2;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'P': options.is_pop3 = choose(protocol_names, optarg); break;
        case 'p': options.port = atoi(optarg); break;
        case 't': options.tls = choose(tls_names, optarg); break;
        case 'c': options.clients = atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'n': options.count = strtoull(optarg, NULL, 10); break;
        case 'o': options.size = strtoull(optarg, NULL, 10); break;
        case 'u': options.users = atoi(optarg); break;
        case 'r': options.ramp = atoi(optarg); break;
        case 'a': options.active = atoi(optarg); break;
        case 'm': options.pace = atof(optarg); break;
        case 'd': options.deadline = atof(optarg); break;
        default: exit(2);
        }
    }
    if (options.port <= 0 || options.clients < 1 || options.users < 1 || options.ramp < 1 ||
        options.active > options.clients || (options.mode == UPLOAD && options.is_pop3) ||
        (options.seconds <= 0 && !options.count && options.mode != IDLE)) {
        fprintf(stderr, "load: these options do not go together\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    alarm(options.deadline + 60);   /* the last resort */
    static const char line[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = line[i % 64];
    if (options.tls && tls13_init()) {
        fprintf(stderr, "load: OpenSSL has not got what TLS 1.3 needs\n");
        return 1;
    }
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        die("epoll_create1");
    if (!(sessions = calloc(options.clients, sizeof *sessions)))
        die("calloc");
    for (int i = 0; i < options.clients; i++)
        sessions[i].fd = -1;

    uint64_t began = now();
    if (options.mode != LOGIN)
        open_all();
    print_ready((now() - began) / 1e9);
    wait_for_line();

    began = last_done = now();
    progress++;                     /* the wait was no standstill */
    run_end = options.seconds > 0 && options.mode != IDLE ? began + (uint64_t)(options.seconds * 1e9) : 0;
    totals.started = 0;
    is_running = 1;
    if (options.mode == LOGIN)
        run_logins(began);
    else if (options.mode == IDLE)
        run_checks();
    else
        run_operations();
    print_result((last_done - began) / 1e9);
    wait_for_line();
    return totals.errors ? 1 : 0;
}
