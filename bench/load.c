/* A load generator that is not the bottleneck: one thread, epoll, keep-alive connections, prepared requests.

   load [--resp] [--once] PORT CONNECTIONS WARM_UP_SECONDS SECONDS FILE

   FILE holds requests, each as 4 bytes of length (little endian) and the bytes to send. Each connection has one request under
   way and takes the next of the file when its answer is there; after the last comes the first again, or with --once nothing.
   Answers are HTTP/1.1, or with --resp Redis' replies. All connections are open before the clock starts.
   Prints one JSON object: seconds, answers, by status, errors, bytes, latencies in us; with those of the warm-up: all answers,
   and the CPU seconds of this process. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 16384, READ_BYTES = 1 << 20, SUB = 64, BUCKETS = 40 * SUB };

struct connection {
    int socket;
    int busy;               /* a request is under way */
    const char *out;        /* what is left to send */
    size_t out_left;
    double sent_at;
    size_t head_used;       /* bytes in head[], while it is not complete */
    size_t body_left;       /* HTTP: of the answer; RESP: of a string */
    int in_body, status, closes;
    int is_chunked, in_line; /* HTTP: chunks; the line with the length of one is being read, into head[] */
    long pending;           /* RESP: replies still to come */
    char head[HEAD_BYTES];
};

static int is_resp, once, epoll;
static struct sockaddr_in server;
static char **requests;
static uint32_t *lengths;
static size_t request_count, next_request;
static long histogram[BUCKETS], statuses[1000], answers, all_answers, errors, max_us;
static unsigned long long bytes;
static int stopping, under_way;
static char *incoming;

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Buckets of 1.6 %: SUB to each power of two. */
static int bucket_of(long us) {
    if (us < SUB) return us < 0 ? 0 : (int)us;
    int power = 63 - __builtin_clzl((unsigned long)us);
    int found = (power - 5) * SUB + (int)((us >> (power - 6)) & (SUB - 1));
    return found < BUCKETS ? found : BUCKETS - 1;
}

static long value_of(int bucket) {
    if (bucket < SUB) return bucket;
    int power = bucket / SUB + 5;
    return (1L << power) + ((long)(bucket % SUB) << (power - 6));
}

static long percentile(double part) {
    long wanted = (long)(answers * part), seen = 0;
    for (int bucket = 0; bucket < BUCKETS; bucket++)
        if ((seen += histogram[bucket]) > wanted) return value_of(bucket);
    return max_us;
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat about;
    if (!file || fstat(fileno(file), &about)) fail(path);
    char *all = malloc((size_t)about.st_size + 1);
    if (fread(all, 1, (size_t)about.st_size, file) != (size_t)about.st_size) fail(path);
    fclose(file);
    size_t room = 0;
    for (char *at = all; at < all + about.st_size; at += 4 + lengths[request_count++]) {
        if (request_count == room) {
            room = room ? room * 2 : 1024;
            requests = realloc(requests, room * sizeof *requests);
            lengths = realloc(lengths, room * sizeof *lengths);
        }
        memcpy(&lengths[request_count], at, 4);
        requests[request_count] = at + 4;
    }
    if (!request_count) { fprintf(stderr, "load: %s holds no request\n", path); exit(1); }
}

static void open_connection(struct connection *c) {
    int yes = 1;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&server, sizeof server)) fail("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->socket, &wanted)) fail("epoll_ctl");
}

static void send_out(struct connection *c) {
    while (c->out_left) {
        ssize_t sent = send(c->socket, c->out, c->out_left, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) return; /* the answer, or the end of the connection, says why */
            struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
            epoll_ctl(epoll, EPOLL_CTL_MOD, c->socket, &wanted);
            return;
        }
        c->out += sent;
        c->out_left -= (size_t)sent;
    }
}

static void start_next(struct connection *c) {
    if (stopping || (once && next_request >= request_count)) { c->busy = 0; return; }
    size_t chosen = next_request++ % request_count;
    c->out = requests[chosen];
    c->out_left = lengths[chosen];
    c->head_used = c->body_left = 0;
    c->in_body = c->status = c->closes = 0;
    c->pending = 1;
    if (!c->busy) under_way++;
    c->busy = 1;
    c->sent_at = now();
    send_out(c);
}

static void end_request(struct connection *c) {
    under_way--;
    c->busy = 0;
}

static void again(struct connection *c) {
    close(c->socket);
    open_connection(c);
    start_next(c);
}

static void lost(struct connection *c) {
    if (c->busy) { errors++; end_request(c); }
    again(c);
}

static void answered(struct connection *c) {
    long us = (long)((now() - c->sent_at) * 1e6);
    all_answers++;
    if (!stopping) {
        histogram[bucket_of(us)]++;
        if (us > max_us) max_us = us;
        answers++;
        statuses[c->status % 1000]++;
    }
    end_request(c);
    if (c->closes) again(c); else start_next(c);
}

/* Both return how many bytes they used up; what is left belongs to nobody, since one request is under way at a time. */

static size_t take_http(struct connection *c, const char *data, size_t size) {
    size_t used = 0;
    while (used < size && c->busy) {
        if (c->in_body) {
            if (c->in_line) {
                char letter = data[used++];
                if (c->head_used < HEAD_BYTES - 1) c->head[c->head_used++] = letter;
                if (letter != '\n') continue;
                c->head[c->head_used] = 0;
                unsigned long length = strtoul(c->head, NULL, 16);
                c->is_chunked = length ? 1 : 2; /* 2: the last one, whose end is an empty line */
                c->body_left = length + 2;
                c->in_line = 0;
                continue;
            }
            size_t part = size - used < c->body_left ? size - used : c->body_left;
            used += part;
            if (c->body_left -= part) continue;
            if (c->is_chunked == 1) { c->in_line = 1; c->head_used = 0; } else answered(c);
            continue;
        }
        size_t before = c->head_used, part = size - used;
        if (part > HEAD_BYTES - 1 - before) part = HEAD_BYTES - 1 - before;
        memcpy(c->head + before, data + used, part);
        c->head[before + part] = 0;
        char *end = strstr(c->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
        if (!end) {
            c->head_used += part;
            used += part;
            if (c->head_used == HEAD_BYTES - 1) { fprintf(stderr, "load: a head without end\n"); exit(1); }
            continue;
        }
        used += (size_t)(end + 4 - c->head) - before;
        end[2] = 0;
        c->status = atoi(c->head + 9);
        char *length = strcasestr(c->head, "\r\ncontent-length:");
        c->closes = strcasestr(c->head, "\r\nconnection: close") != NULL;
        c->body_left = length ? strtoul(length + 17, NULL, 10) : 0;
        c->is_chunked = c->in_line = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
        c->head_used = 0;
        if (c->is_chunked) { c->in_body = 1; continue; }
        if (!length && c->status != 304 && c->status != 204) { fprintf(stderr, "load: an answer without length\n"); exit(1); }
        c->in_body = 1;
        if (!c->body_left) answered(c);
    }
    return used;
}

static size_t take_resp(struct connection *c, const char *data, size_t size) {
    size_t used = 0;
    while (used < size && c->busy) {
        if (c->body_left) {
            size_t part = size - used < c->body_left ? size - used : c->body_left;
            used += part;
            c->body_left -= part;
        } else {
            char letter = data[used++];
            c->head[c->head_used++] = letter;
            if (c->head_used == HEAD_BYTES) c->head_used--;
            if (letter != '\n') continue;
            c->head[c->head_used] = 0;
            long number = atol(c->head + 1);
            if (!c->status) c->status = c->head[0] == '-' ? 500 : 200;
            if (c->head[0] == '$' && number >= 0) c->body_left = (size_t)number + 2;
            if (c->head[0] == '*' && number > 0) c->pending += number;
            c->pending--;
            c->head_used = 0;
        }
        if (!c->pending && !c->body_left) answered(c);
    }
    return used;
}

static void forget_what_was(void) {
    memset(histogram, 0, sizeof histogram);
    memset(statuses, 0, sizeof statuses);
    answers = errors = max_us = 0;
    bytes = 0;
}

int main(int count, char **given) {
    int at = 1;
    for (; at < count && given[at][0] == '-'; at++) {
        if (!strcmp(given[at], "--resp")) is_resp = 1;
        if (!strcmp(given[at], "--once")) once = 1;
    }
    if (count - at != 5) { fprintf(stderr, "load [--resp] [--once] PORT CONNECTIONS WARM_UP_SECONDS SECONDS FILE\n"); return 2; }
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(given[at]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connections = atoi(given[at + 1]);
    double warm_up = atof(given[at + 2]), seconds = atof(given[at + 3]);
    read_requests(given[at + 4]);
    incoming = malloc(READ_BYTES);
    epoll = epoll_create1(0);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    for (int n = 0; n < connections; n++) open_connection(&all[n]);

    double started = now(), ends = started + warm_up + seconds, last = started;
    int is_warm = warm_up <= 0;
    for (int n = 0; n < connections; n++) start_next(&all[n]);
    while (under_way) {
        struct epoll_event events[256];
        int ready = epoll_wait(epoll, events, 256, 100);
        for (int n = 0; n < ready; n++) {
            struct connection *c = events[n].data.ptr;
            if (events[n].events & EPOLLOUT) {
                struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(epoll, EPOLL_CTL_MOD, c->socket, &wanted);
                send_out(c);
            }
            if (!(events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t got = recv(c->socket, incoming, READ_BYTES, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) { lost(c); continue; }
            bytes += (unsigned long long)got;
            (is_resp ? take_resp : take_http)(c, incoming, (size_t)got);
        }
        double moment = now();
        if (!is_warm && moment >= started + warm_up) { is_warm = 1; started = moment; forget_what_was(); }
        if (!stopping) last = moment;
        if (moment >= ends) stopping = 1;
        if (moment >= ends + 30) { errors += under_way; break; }
    }
    if (!is_warm) { fprintf(stderr, "load: the requests ended while warming up\n"); return 1; }

    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"seconds\":%.6f,\"answers\":%ld,\"all_answers\":%ld,\"errors\":%ld,\"bytes\":%llu,\"cpu\":%.3f,\"p50\":%ld,\"p90\":%ld,\"p99\":%ld,"
           "\"max\":%ld,\"statuses\":{", last - started, answers, all_answers, errors, bytes, cpu, percentile(.5), percentile(.9),
           percentile(.99), max_us);
    const char *comma = "";
    for (int status = 0; status < 1000; status++)
        if (statuses[status]) { printf("%s\"%d\":%ld", comma, status, statuses[status]); comma = ","; }
    printf("}}\n");
    return 0;
}
