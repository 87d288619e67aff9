// See recorder_channel.h.
#include "scan/recorder_channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "scan/monotonic_time.h"
#include "scan/scan_failed.h"

namespace hl {
namespace {

constexpr int kFlushLimitMs = 30'000;
constexpr uint64_t kSampleLimitNs = 10'000'000'000;
constexpr uint64_t kSignEveryNs = 10'000'000'000;

[[noreturn]] void recorder_gone() {
  throw ScanFailed(ScanFailure::scanner_failed, "the recorder ended during the scan");
}

} // namespace

void RecorderChannel::send(ScanMessageKind kind, uint64_t ticks, uint64_t pause_ns) {
  ScanMessage message;
  message.kind = kind;
  message.ticks = ticks;
  message.pause_ns = pause_ns;
  last_sign_ns_ = monotonic_ns();
  while (::send(descriptor_, &message, sizeof message, MSG_NOSIGNAL) < 0)
    if (errno != EINTR)
      recorder_gone();
}

bool RecorderChannel::receive(ScanMessage& out, int timeout_ms) {
  pollfd ready{descriptor_, POLLIN, 0};
  const int got = ::poll(&ready, 1, timeout_ms);
  if (got == 0 || (got < 0 && errno == EINTR))
    return false;
  if (::recv(descriptor_, &out, sizeof out, 0) != sizeof out)
    recorder_gone();
  return true;
}

void RecorderChannel::flush() {
  send(ScanMessageKind::flush);
  ++unanswered_;
  const uint64_t began_ns = monotonic_ns();
  while (unanswered_ != 0) {
    ScanMessage message;
    if (receive(message, 1000))
      take(message);
    if (monotonic_ns() - began_ns > uint64_t{kFlushLimitMs} * 1'000'000)
      throw ScanFailed(ScanFailure::too_long, "the recorder did not write out its events within 30 s");
  }
}

void RecorderChannel::show_life() {
  const uint64_t now = monotonic_ns();
  if (last_sign_ns_ == 0)
    last_sign_ns_ = now;
  if (now - last_sign_ns_ < kSignEveryNs)
    return;
  send(ScanMessageKind::flush);
  ++unanswered_;
}

void RecorderChannel::take(const ScanMessage& message) {
  if (message.kind == ScanMessageKind::flushed && unanswered_ != 0)
    --unanswered_;
  if (message.kind == ScanMessageKind::sampled)
    sample_wanted_ = false;
  if (message.kind == ScanMessageKind::no_copy)
    copy_error_ = static_cast<int>(message.error);
}

void RecorderChannel::ask_for_sample(uint64_t ticks) {
  sample_wanted_ = true;
  send(ScanMessageKind::sample, ticks);
}

void RecorderChannel::wait_for_sample() {
  const uint64_t began_ns = monotonic_ns();
  while (sample_wanted_ && monotonic_ns() - began_ns < kSampleLimitNs) {
    ScanMessage message;
    if (receive(message, 1000))
      take(message);
  }
}

void RecorderChannel::ask_for_copy() {
  send(ScanMessageKind::copy);
}

int RecorderChannel::copy_error() {
  ScanMessage message;
  while (receive(message, 0))
    take(message);
  return copy_error_;
}

void RecorderChannel::released(uint64_t pause_ns) {
  send(ScanMessageKind::released, 0, pause_ns);
}

} // namespace hl
