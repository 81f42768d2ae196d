/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest's writer: numbered records to a disk, each made durable and only then acknowledged to the client.
 *
 *   writer DISK ID CLIENTS PORT RATE STATUSFILE     CLIENTS: addresses, of IPv4 or IPv6, with commas between them
 *                                                   RATE: records each second, 0 = as fast as it goes
 *   writer --store DISK ID STATUSFILE               write what clients ask for, who send an acknowledgement's 16 bytes
 *                                                   to TCP port 7710 + ID, and get them back once it is durable
 *   writer --trim DISK STATUSFILE                   write, discard and zero what lies before the records, all the time
 *   writer --pattern BYTES                          that many bytes (a multiple of 64 KiB) of counting words to stdout
 *
 * Record n lies in block 2048 + n % RING (blocks of 512 bytes; RING = blocks of the disk - 2048). A block is 16 copies
 * of {magic, number, disk id, checksum}, so a torn write shows. An acknowledgement is 16 bytes {number, disk id}.
 * All integers are little-endian 64 bit. Content depends on number and disk alone: two guests in lockstep send the
 * same. checker.py knows the same layout.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/fs.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 512
#define FIRST 2048
#define MAGIC 0x4b4341424b434f4cULL
#define COPIES (BLOCK / sizeof(struct record))

struct record { uint64_t magic, number, disk, sum; };

static uint64_t checksum(uint64_t number, uint64_t disk)
{
	uint64_t x = MAGIC ^ (number * 0x9e3779b97f4a7c15ULL) ^ (disk * 0xc2b2ae3d27d4eb4fULL);

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ULL;
	return x ^ (x >> 32);
}

static void fill(struct record *block, uint64_t number, uint64_t disk)
{
	for (size_t i = 0; i < COPIES; i++)
		block[i] = (struct record){MAGIC, number, disk, checksum(number, disk)};
}

/* The number that a block holds, 0 when it holds no sound record. */
static uint64_t number_in(const struct record *block, uint64_t disk)
{
	for (size_t i = 0; i < COPIES; i++)
		if (block[i].magic != MAGIC || block[i].disk != disk || block[i].number != block[0].number ||
		    block[i].sum != checksum(block[i].number, disk))
			return 0;
	return block[0].number;
}

/* Records are contiguous up to the newest one, but a scan of everything trusts nothing. */
static uint64_t highest(int fd, uint64_t ring, uint64_t disk, char *buffer, size_t room)
{
	uint64_t found = 0;

	for (uint64_t done = 0; done < ring;) {
		ssize_t got = pread(fd, buffer, room, (off_t)(FIRST + done) * BLOCK);

		if (got < BLOCK) {
			perror("writer: reading the disk");
			sleep(1);
			continue;
		}
		for (ssize_t at = 0; at + BLOCK <= got && done < ring; at += BLOCK, done++) {
			uint64_t number;

			if (((struct record *)(buffer + at))->magic != MAGIC)
				continue;
			number = number_in((struct record *)(buffer + at), disk);
			if (number > found && number % ring == done)
				found = number;
		}
	}
	return found;
}

static void report(const char *path, uint64_t disk, uint64_t first, uint64_t errors)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return;
	fprintf(file, "disk %llu first %llu errors %llu\n", (unsigned long long)disk, (unsigned long long)first,
		(unsigned long long)errors);
	fclose(file);
}

static int pattern(uint64_t bytes)
{
	static uint64_t words[8192];
	uint64_t next = 0;

	for (uint64_t done = 0; done < bytes; done += sizeof(words)) {
		for (size_t i = 0; i < sizeof(words) / 8; i++)
			words[i] = next++;
		if (write(1, words, sizeof(words)) != sizeof(words))
			return 1;
	}
	return 0;
}

#define ZONE (256 << 10)

static int is(const char *buffer, int value)
{
	for (size_t i = 0; i < ZONE; i++)
		if (buffer[i] != (char)value)
			return 0;
	return 1;
}

/* Three zones before the records, each written in every round; then one is discarded and one zeroed. */
static int trim(const char *path, const char *status)
{
	uint64_t rounds = 0, errors = 0, range[2] = {0, ZONE};
	int fd = open(path, O_RDWR | O_DIRECT);
	char *buffer;

	if (fd < 0 || posix_memalign((void **)&buffer, 4096, 3 * ZONE)) {
		perror(path);
		return 1;
	}
	for (;; usleep(200000)) {
		const char *what = NULL;
		int value = ++rounds % 255 + 1;
		FILE *file;

		memset(buffer, value, 3 * ZONE);
		if (pwrite(fd, buffer, 3 * ZONE, 0) != 3 * ZONE)
			what = "write";
		range[0] = ZONE;
		if (ioctl(fd, BLKDISCARD, range))
			what = "discard";
		range[0] = 2 * ZONE;
		if (ioctl(fd, BLKZEROOUT, range) || fdatasync(fd))
			what = "zero";
		/* What a discarded zone holds is nobody's business. */
		if (pread(fd, buffer, 3 * ZONE, 0) != 3 * ZONE || !is(buffer, value) || !is(buffer + 2 * ZONE, 0))
			what = "read back";
		if (what && errors++ < 10)
			printf("writer: trim %s round %llu: %s: %s\n", path, (unsigned long long)rounds, what,
			       strerror(errno));
		fflush(stdout);
		file = fopen(status, "w");
		if (file) {
			fprintf(file, "trims %s rounds %llu errors %llu\n", path, (unsigned long long)rounds,
				(unsigned long long)errors);
			fclose(file);
		}
	}
}

/* An error is no acknowledgement: the same record again, until the disk takes it. */
static void store(int fd, uint64_t ring, uint64_t number, uint64_t disk, char *buffer, const char *status)
{
	static uint64_t errors;

	fill((struct record *)buffer, number, disk);
	while (pwrite(fd, buffer, BLOCK, (off_t)(FIRST + number % ring) * BLOCK) != BLOCK || fdatasync(fd)) {
		if (errors++ < 10)
			printf("writer: disk %llu record %llu: %s\n", (unsigned long long)disk,
			       (unsigned long long)number, strerror(errno));
		fflush(stdout);
		report(status, disk, number, errors);
		usleep(100000);
	}
}

#define CLIENTS 8

/* Both families on one socket; a connection of a client that went away silently gives its place to the next one. */
static int serve(int fd, uint64_t ring, uint64_t disk, char *buffer, const char *status)
{
	struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_port = htons(7710 + disk)};
	struct pollfd sockets[1 + CLIENTS] = {{.fd = socket(AF_INET6, SOCK_STREAM, 0), .events = POLLIN}};
	int yes = 1, no = 0, oldest = 0;

	setsockopt(sockets[0].fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	setsockopt(sockets[0].fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(sockets[0].fd, (struct sockaddr *)&here, sizeof(here)) || listen(sockets[0].fd, CLIENTS)) {
		perror("writer: socket");
		return 1;
	}
	for (int i = 1; i <= CLIENTS; i++)
		sockets[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	for (;;) {
		poll(sockets, 1 + CLIENTS, -1);
		for (int i = 1; i <= CLIENTS; i++) {
			uint64_t asked[2];

			if (sockets[i].fd < 0 || !sockets[i].revents)
				continue;
			if (recv(sockets[i].fd, asked, sizeof(asked), MSG_WAITALL) != sizeof(asked) || asked[1] != disk) {
				close(sockets[i].fd);
				sockets[i].fd = -1;
				continue;
			}
			store(fd, ring, asked[0], disk, buffer, status);
			send(sockets[i].fd, asked, sizeof(asked), MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		if (sockets[0].revents) {
			int *place = &sockets[1 + oldest++ % CLIENTS].fd;

			if (*place >= 0)
				close(*place);
			*place = accept(sockets[0].fd, NULL, NULL);
		}
	}
}

struct client { int socket; socklen_t length; struct sockaddr_storage address; };

/* The socket that acknowledgements go out of to an address, from port 7700 + DISK. */
static struct client client_at(const char *text, int port, int from)
{
	struct client client = {0};
	struct sockaddr_in *four = (void *)&client.address;
	struct sockaddr_in6 *six = (void *)&client.address;
	struct sockaddr_in here4 = {.sin_family = AF_INET, .sin_port = htons(from)};
	struct sockaddr_in6 here6 = {.sin6_family = AF_INET6, .sin6_port = htons(from)};
	int is4 = inet_pton(AF_INET, text, &four->sin_addr) == 1, yes = 1;
	struct sockaddr *here = is4 ? (void *)&here4 : (void *)&here6;

	if (is4)
		four->sin_port = htons(port);
	else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
		six->sin6_port = htons(port);
	else {
		fprintf(stderr, "writer: %s is no address\n", text);
		exit(1);
	}
	client.address.ss_family = here->sa_family;
	client.length = is4 ? sizeof(*four) : sizeof(*six);
	client.socket = socket(here->sa_family, SOCK_DGRAM, 0);
	setsockopt(client.socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	setsockopt(client.socket, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes));
	if (!is4)
		setsockopt(client.socket, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	if (bind(client.socket, here, client.length)) {
		perror("writer: socket");
		exit(1);
	}
	return client;
}

int main(int argc, char **argv)
{
	size_t room = 1 << 20;
	uint64_t size, ring, disk, rate, number;
	struct client clients[CLIENTS];
	int fd, count = 0, served;
	const char *status;
	char *buffer;

	if (argc == 3 && !strcmp(argv[1], "--pattern"))
		return pattern(strtoull(argv[2], NULL, 0));
	if (argc == 4 && !strcmp(argv[1], "--trim"))
		return trim(argv[2], argv[3]);
	served = argc == 5 && !strcmp(argv[1], "--store");
	if (argc != 7 && !served) {
		fprintf(stderr, "writer DISK ID CLIENTS PORT RATE STATUSFILE\n");
		return 2;
	}
	argv += served;
	status = argv[served ? 3 : 6];
	disk = strtoull(argv[2], NULL, 0);
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) || size < (FIRST + 16) * BLOCK) {
		perror(argv[1]);
		return 1;
	}
	if (posix_memalign((void **)&buffer, 4096, room))
		return 1;
	ring = size / BLOCK - FIRST;
	number = served ? 0 : highest(fd, ring, disk, buffer, room) + 1;
	report(status, disk, number, 0);
	if (served)
		return serve(fd, ring, disk, buffer, status);
	rate = strtoull(argv[5], NULL, 0);
	for (char *text = strtok(argv[3], ","); text && count < CLIENTS; text = strtok(NULL, ","))
		clients[count++] = client_at(text, atoi(argv[4]), 7700 + (int)disk);
	printf("writer: disk %s ring %llu first number %llu\n", argv[1], (unsigned long long)ring,
	       (unsigned long long)number);
	fflush(stdout);

	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;; number++) {
		uint64_t acknowledgement[2] = {number, disk};

		store(fd, ring, number, disk, buffer, status);
		for (int i = 0; i < count; i++)
			sendto(clients[i].socket, acknowledgement, sizeof(acknowledgement), 0,
			       (struct sockaddr *)&clients[i].address, clients[i].length);
		if (rate) {
			next.tv_nsec += 1000000000L / (long)rate;
			if (next.tv_nsec >= 1000000000L) {
				next.tv_nsec -= 1000000000L;
				next.tv_sec++;
			}
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		}
	}
}
