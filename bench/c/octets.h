/*
 * octets.h - a growing buffer: octets are added at its end and dropped from its start.
 */
#ifndef OCTETS_H
#define OCTETS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct octets {
    uint8_t *data;
    size_t start, end, capacity;
};

static inline size_t octets_size(const struct octets *o)
{
    return o->end - o->start;
}

static inline uint8_t *octets_first(const struct octets *o)
{
    return o->data + o->start;
}

/* Where size octets may be written; octets_wrote() says how many were. */
static inline uint8_t *octets_room(struct octets *o, size_t size)
{
    if (o->start == o->end) {
        o->start = o->end = 0;
    } else if (o->start && o->end + size > o->capacity) {
        memmove(o->data, o->data + o->start, o->end - o->start);
        o->end -= o->start;
        o->start = 0;
    }
    if (o->end + size > o->capacity) {
        size_t capacity = o->capacity ? o->capacity : 256;
        while (capacity < o->end + size)
            capacity *= 2;
        if (!(o->data = realloc(o->data, capacity))) {
            perror("realloc");
            exit(1);
        }
        o->capacity = capacity;
    }
    return o->data + o->end;
}

static inline void octets_wrote(struct octets *o, size_t size)
{
    o->end += size;
}

static inline void octets_add(struct octets *o, const void *data, size_t size)
{
    memcpy(octets_room(o, size), data, size);
    octets_wrote(o, size);
}

static inline void octets_drop(struct octets *o, size_t size)
{
    o->start += size;
}

/* Forget the contents, keep the memory. */
static inline void octets_empty(struct octets *o)
{
    o->start = o->end = 0;
}

#endif
