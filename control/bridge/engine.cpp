#include "control/bridge/engine.hpp"

#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "backends/error.hpp"
#include "dataplane/invariant.hpp"

namespace bulkhead::control {

HashKey random_hash_key() {
  HashKey key;
  if (::getrandom(&key, sizeof key, 0) != sizeof key) {
    throw BackendError::from_errno("cannot draw random numbers");
  }
  return key;
}

namespace {

constexpr std::size_t kPlacesAnEntry = 2;  // of the flow table, so that nearly all find one

template <class T>
std::vector<std::unique_ptr<T>> make_many(std::size_t count) {
  std::vector<std::unique_ptr<T>> things(count);
  for (auto& thing : things) thing = std::make_unique<T>();
  return things;
}

/// What the programs have to know of a policy.
std::vector<Shortcut::Part> shortcut_parts(const Snapshot& policy) {
  std::vector<Shortcut::Part> parts(kPortsMax);
  for (std::size_t i = 0; i < kPortsMax; ++i) {
    const PortPolicy& port = policy.ports[i];
    if (!port.present || port.road == BULKHEAD_ROAD_NONE) continue;
    parts[i] = {port.road, static_cast<int>(port.device), port.trusted, port.flow_first,
                port.flow_sets};
  }
  return parts;
}

}  // namespace

Engine::Engine(const Snapshot& first, HashKey key, const Options& options)
    : key_(key),
      umem_(options.workers),
      events_fd_(make_eventfd()),
      bells_(make_many<Bell>(options.workers)),
      flow_regions_(kPlacesAnEntry * options.flow_entries),
      workers_(make_many<Running>(options.workers)),
      guard_(workers_.front()->device.ifindex(), options.owner,
             std::max<std::size_t>(kPlacesAnEntry * options.flow_entries, 1)),
      courier_(events_fd_) {
  if (options.flow_entries > 0) {
    shortcut_ = std::make_unique<Shortcut>(guard_.shortcut_maps(), key.words[0]);
    for (std::uint8_t i = 0; i < options.workers; ++i) {
      flow_tables_.push_back(std::make_unique<FlowTable>(shortcut_->memory()));
    }
  }
  for (std::uint8_t i = 0; i < options.workers; ++i) {
    Running& running = *workers_[i];
    running.socket = std::make_unique<ReceiveSocket>(umem_, i, running.device.peer_name());
    running.device.connect(*running.socket);
    running.poll.add(running.socket->fd());
    running.conduit = std::make_unique<Conduit>(umem_.pool(i), *running.socket, guard_.slots(),
                                                guard_.conduits(), i);
  }
  make_ways();
  team_.emplace(first, key, Fdb::kEntriesMin, places());
  for (std::uint8_t i = 0; i < options.workers; ++i) {
    Running& running = *workers_[i];
    PollLoop::Options loop;
    loop.busy = options.busy;
    if (i < options.cpus.size()) loop.cpu = options.cpus[i];
    loop.number = i;
    loop.bells = bells_;
    loop.events_fd = events_fd_;
    Team::Member& member = team_->member(i);
    running.loop = std::make_unique<PollLoop>(*member.worker, member.mailbox,
                                              std::vector{running.poll.fd()}, loop);
    courier_.add_worker(member.mailbox, [&running] { running.loop->wake(); });
  }
}

Engine::~Engine() {
  for (const auto& running : workers_) running->loop.reset();
  ::close(events_fd_);
}

void Engine::make_ways() {
  const WorkerCall call = [this](std::uint8_t worker, Command& what) { this->call(worker, what); };
  const auto conduit_of = [this](std::uint8_t worker) { return conduit(worker).ifindex(); };
  std::vector<NicDevice::Share> shares;
  for (std::uint8_t i = 0; i < worker_count(); ++i) {
    shares.push_back({&umem_, i, workers_[i]->poll.fd()});
  }
  ways_[kConduitBackend] =
      std::make_unique<ConduitWays>(guard_, umem_, conduit_of, kConduitBackend, call);
  ways_[kNicBackend] =
      std::make_unique<NicWays>(guard_.pins(), std::move(shares), kNicBackend, call);
}

std::vector<Team::Place> Engine::places() {
  std::vector<Team::Place> places;
  for (std::uint8_t i = 0; i < worker_count(); ++i) {
    places.push_back({&umem_.pool(i),
                      {workers_[i]->conduit.get(), &workers_[i]->nic},
                      shortcut_ ? flow_tables_[i].get() : nullptr});
  }
  return places;
}

bool Engine::workers_get_on() {
  const auto gets_on = [](const auto& running) {
    return running->loop->rounds() != running->rounds_seen;
  };
  if (!std::ranges::all_of(workers_, gets_on)) return false;
  for (const auto& running : workers_) running->rounds_seen = running->loop->rounds();
  return true;
}

void Engine::swap(std::unique_ptr<Snapshot> next) {
  if (shortcut_ && flow_regions_.plan(*next) && worker_count() > 1) {
    // No worker writes into a region that another one still has.
    Snapshot without = *next;
    for (PortPolicy& port : without.ports) port.flow_sets = 0;
    hand_out(without);
  }
  hand_out(*next);
}

// What may fail, for want of memory, comes before any worker has the new policy.
void Engine::hand_out(const Snapshot& next) {
  auto parts = team_->parts_of(next);
  const std::vector<Shortcut::Part> roads = shortcut_parts(next);
  if (shortcut_) {
    shortcut_->set_generation(team_->generation());
    shortcut_->set_parts(roads);
  }
  for (std::uint8_t i = 0; i < worker_count(); ++i) {
    SwapSnapshot command(parts[i].get());
    call(i, command);
    team_->member(i).snapshot = std::move(parts[i]);  // frees the old one, which is back
  }
  if (shortcut_) shortcut_->settle();
}

std::deque<Event> Engine::take_events() {
  std::deque<Event> events = courier_.take_events();
  std::erase_if(events, [this](const Event& event) {
    if (event.kind != Event::Kind::resize) return false;
    known_ = event.addresses;
    return true;
  });
  fit_tables();
  if (const std::uint64_t now = breaches(); now != breaches_told_) {
    spdlog::error(
        "{} times what must hold in the dataplane did not, {} in all: a fault of bulkhead, "
        "please report it; frames may have been lost",
        now - std::exchange(breaches_told_, now), now);
  }
  return events;
}

// Every worker's table has the addresses of all: they grow and shrink together.
void Engine::fit_tables() {
  if (!known_ || resizing_ > 0) return;
  const std::size_t entries =
      std::max(Fdb::kEntriesMin, Fdb::kRoomFactor * *std::exchange(known_, {}));
  std::vector<std::unique_ptr<ResizeFdb>> commands;
  try {
    for (std::uint8_t i = 0; i < worker_count(); ++i) {
      commands.push_back(std::make_unique<ResizeFdb>(Fdb::Store(entries, key_)));
    }
  } catch (const std::bad_alloc&) {
    spdlog::warn("no memory for a table of {} addresses; new ones are dropped (mac_limit)",
                 entries);
    return;
  }
  for (std::uint8_t i = 0; i < worker_count(); ++i) {
    ++resizing_;
    courier_.post(i, std::move(commands[i]), [this] {
      if (--resizing_ == 0) ::malloc_trim(0);  // it would keep the old ones' pages
    });
  }
  spdlog::debug("MAC tables: room for {} addresses", entries);
}

std::vector<Engine::Flow> Engine::flows(std::size_t& place, std::size_t rows) const {
  std::vector<Flow> found;
  const std::uint32_t now_ms = monotonic_ms();
  constexpr std::size_t kLooks = 65'536;  // some milliseconds
  const std::size_t end = std::min(place + kLooks, flow_places());
  for (; place < end && found.size() < rows; ++place) {
    const auto entry = shortcut_->flow_at(place);
    if (!entry) continue;
    const auto from = static_cast<PortIndex>(entry->key[0] & BULKHEAD_FLOW_PORT);
    found.push_back(
        {*entry, from, shortcut_->has_any_source(from), (now_ms - entry->made_ms) / 1000});
  }
  return found;
}

void Engine::drain() {
  call_all([](std::uint8_t) { return std::make_unique<Drain>(); });
}

std::uint32_t Engine::flush(const FlushFdb::What& what) {
  std::uint32_t forgotten = 0;
  call_all([&](std::uint8_t) { return std::make_unique<FlushFdb>(what); },
           [&](const FlushFdb& command) { forgotten += command.forgotten; });
  drain();
  return forgotten;
}

Engine::Totals Engine::totals() {
  Totals totals;
  for (std::uint8_t worker = 0; worker < worker_count(); ++worker) {
    const auto copy = ask(worker, std::make_unique<CopyCounters>());
    for (std::size_t i = 0; i < kPortsMax; ++i) totals.ports[i] += copy->counters[i];
    totals.learned += copy->fdb_size;
    totals.buffers_free += copy->buffers_free;
  }
  return totals;
}

std::vector<CopyFdb::Row> Engine::learned(FdbPlace& place) {
  constexpr std::size_t kRows = 512;
  const auto copy = ask(place.worker, std::make_unique<CopyFdb>(place.bucket, kRows));
  place.bucket = copy->place;
  if (copy->place == 0) place.at_end = ++place.worker == worker_count();
  return std::move(copy->rows);
}

}  // namespace bulkhead::control
