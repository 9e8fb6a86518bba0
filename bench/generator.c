/* SPDX-License-Identifier: Apache-2.0 */
/* generator OBJECT DEVICE SECONDS FRAME [source|destination]: sends the frame (hexadecimal) out of
 * the device of the network namespace that it runs in, as fast as the core it runs on makes and
 * forwards it, and prints {"frames": N, "seconds": S}. SIGTERM ends it early. With the last word,
 * that MAC address ends in four random octets, new ones in every frame.
 *
 * The kernel makes the frames: bpf_prog_test_run() with BPF_F_TEST_XDP_LIVE_FRAMES, and
 * generator.bpf.c redirects them. Into a veth that takes the other end's NAPI (ethtool -K … gro on
 * there); it hands on ordinary skbs, as if a guest had sent them. Called by bench.py and
 * load.py. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum randomized { NOTHING, SOURCE, DESTINATION }; /* as in generator.bpf.c */

struct state { /* as in generator.bpf.c */
  __u32 device;
  enum randomized randomized;
  struct ethhdr header;
  __u64 frames, first_ns, last_ns;
};

static void die(const char* what) {
  fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
  exit(1);
}

static size_t read_hex(const char* hex, unsigned char* bytes, size_t bytes_max) {
  size_t length = 0;
  unsigned value;
  for (; length < bytes_max && sscanf(hex, "%2x", &value) == 1; hex += 2) {
    bytes[length++] = (unsigned char)value;
    if (!hex[1]) break;
  }
  return length;
}

static void ignore(int number) { (void)number; }

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    fputs("usage: generator OBJECT DEVICE SECONDS FRAME [source|destination]\n", stderr);
    return 2;
  }
  unsigned char frame[2048];
  const size_t length = read_hex(argv[4], frame, sizeof frame);
  struct state state = {.device = if_nametoindex(argv[2])};
  if (state.device == 0) die(argv[2]);
  if (argc == 6) state.randomized = strcmp(argv[5], "source") ? DESTINATION : SOURCE;
  memcpy(&state.header, frame, sizeof state.header);

  struct bpf_object* object = bpf_object__open_file(argv[1], NULL);
  if (!object || bpf_object__load(object)) die(argv[1]);
  const int program = bpf_program__fd(bpf_object__find_program_by_name(object, "generate"));
  const int map = bpf_object__find_map_fd_by_name(object, "states");
  const __u32 zero = 0;
  if (bpf_map_update_elem(map, &zero, &state, BPF_ANY)) die("map");

  /* One call, ended by a signal: each call's start and end block for a while. */
  struct sigaction action = {.sa_handler = ignore};
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  const double seconds = atof(argv[3]);
  struct itimerval timer = {.it_interval = {.tv_usec = 100000}}; /* again, if it came too early */
  timer.it_value.tv_sec = (time_t)seconds;
  timer.it_value.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6) + 1;
  setitimer(ITIMER_REAL, &timer, NULL);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (__u32)length,
              .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64, .repeat = 2000000000);
  if (bpf_prog_test_run_opts(program, &options) && errno != EINTR) die("bpf_prog_test_run");

  if (bpf_map_lookup_elem(map, &zero, &state)) die("map");
  printf("{\"frames\": %llu, \"seconds\": %.6f}\n", (unsigned long long)state.frames,
         (double)(state.last_ns - state.first_ns) / 1e9);
  return 0;
}
