// Takes the payload of an events chunk apart: its header, segments and columns, still compressed. Trusts
// nothing; what the columns hold is the business of event_columns.h.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "heapledger/trace_format.h"

namespace hl {

// An events chunk's payload taken apart, with every length checked: segments, and columns still compressed.
struct EventsPayloadView {
  struct Column {
    ColumnEntry entry;
    std::span<const uint8_t> stored;
  };
  EventsPayload payload{};
  std::vector<EventSegment> segments;
  std::vector<Column> columns;

  // false: the bytes cannot be an events payload. `bytes` must outlive the view.
  bool parse(std::span<const uint8_t> bytes) {
    segments.clear();
    columns.clear();
    if (bytes.size() < sizeof(EventsPayload))
      return false;
    std::memcpy(&payload, bytes.data(), sizeof(payload));
    if (payload.payload_header_bytes < sizeof(EventsPayload) || payload.payload_header_bytes > bytes.size() ||
        payload.segment_bytes < sizeof(EventSegment))
      return false;
    bytes = bytes.subspan(payload.payload_header_bytes);
    const uint64_t directory_bytes = uint64_t{payload.segment_count} * payload.segment_bytes +
                                     uint64_t{payload.column_count} * sizeof(ColumnEntry);
    if (directory_bytes > bytes.size())
      return false;
    segments.resize(payload.segment_count);
    uint64_t events = 0;
    for (EventSegment& s : segments) {
      std::memcpy(&s, bytes.data(), sizeof(s));
      bytes = bytes.subspan(payload.segment_bytes);
      events += s.events;
    }
    if (events != payload.event_count)
      return false;
    columns.resize(payload.column_count);
    for (Column& c : columns) {
      std::memcpy(&c.entry, bytes.data(), sizeof(c.entry));
      bytes = bytes.subspan(sizeof(c.entry));
    }
    for (Column& c : columns) {
      if (c.entry.stored_bytes > bytes.size())
        return false;
      c.stored = bytes.first(c.entry.stored_bytes);
      bytes = bytes.subspan(c.entry.stored_bytes);
    }
    return true;
  }
};

} // namespace hl
