#include "fs/toc_tree.h"

#include <algorithm>

namespace firstlight {

namespace {

using kind = toc_entry::kind;

constexpr std::uint32_t max_major = (1u << 12) - 1; // Linux: dev_t is 12 + 20 bits
constexpr std::uint32_t max_minor = (1u << 20) - 1;
constexpr std::size_t max_xattrs = 1024;
constexpr std::uint64_t xattrs_per_entry = 4; // on average over a layer, at most
// Attributes of administrators, by which overlayfs is told to redirect or hide: an
// image has no say in those.
constexpr std::string_view administrators = "trusted.";
constexpr std::size_t max_xattr_names = 64 << 10; // XATTR_LIST_MAX

std::string_view name_of(kind type) {
    switch (type) {
    case kind::directory:
        return "directory";
    case kind::regular:
        return "regular file";
    case kind::symlink:
        return "symbolic link";
    case kind::hardlink:
        return "hard link";
    case kind::character:
    case kind::block:
        return "device";
    case kind::fifo:
        return "fifo";
    default:
        return "nothing known";
    }
}

// The components of a name: path.Clean("/" + name) for the names that honest
// writers make, with "./", "/" or "../" in front. A name that climbs out of
// what it entered is none of theirs.
class components {
public:
    explicit components(std::string_view path)
      : left_(path) {}

    /// The path is only the end of one, which has entered something.
    void enter() noexcept { entered_ = true; }
    /// The next one; empty at the end.
    result<std::string_view> next() {
        while (!left_.empty()) {
            const auto slash = left_.find('/');
            const auto name = left_.substr(0, slash);
            left_.remove_prefix(slash == std::string_view::npos ? left_.size() : slash + 1);
            if (name.empty() || name == "." || (name == ".." && !entered_)) {
                continue;
            }
            entered_ = true;
            if (name == "..") {
                return fault(errc::corrupt, "name climbs by \"..\"");
            }
            if (name.size() > index_format::max_name_size) {
                return fault(errc::corrupt, "name has a part of more than 255 bytes");
            }
            if (name.find('\0') != std::string_view::npos) {
                return fault(errc::corrupt, "name has a NUL");
            }
            return name;
        }
        return std::string_view();
    }

private:
    std::string_view left_;
    bool entered_ = false;
};

fault bad_entry(const toc_entry& entry, std::string_view why, errc code = errc::corrupt) {
    std::string context = "(";
    context += printable(entry.name);
    context += ") ";
    context += why;
    return {code, std::move(context)};
}

} // namespace

std::size_t toc_tree::hash::operator()(const key& k) const noexcept {
    return keyed(k.name, k.parent);
}

std::size_t toc_tree::hash::operator()(node_id id) const noexcept {
    const auto& n = tree->nodes_[id];
    return keyed(tree->text(n.name), n.parent);
}

bool toc_tree::equal::operator()(const key& k, node_id id) const noexcept {
    const auto& n = tree->nodes_[id];
    return n.parent == k.parent && tree->text(n.name) == k.name;
}

toc_tree::toc_tree(std::uint64_t payload_size, const toc_limits& limits)
  : payload_size_(payload_size)
  , limits_(limits)
  , by_name_(0, hash{this, {}}, equal{this}) {
    // References into the text are 32 bits.
    limits_.max_text_bytes =
      std::min<std::uint64_t>(limits_.max_text_bytes, std::numeric_limits<std::uint32_t>::max());
    nodes_.emplace_back();
}

fault toc_tree::bad(node_id id, std::string_view why, errc code) const {
    std::string context = printable(path_of(id));
    context += ' ';
    context += why;
    return {code, std::move(context)};
}

std::string toc_tree::path_of(node_id id) const {
    // A path may have thousands of parts; a message has room for few.
    std::vector<std::string_view> parts;
    for (; id != root && parts.size() < 8; id = nodes_[id].parent) {
        parts.push_back(text(nodes_[id].name));
    }
    std::string path(id == root ? "" : "...");
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        path += '/';
        path += *part;
    }
    return path.empty() ? "/" : path;
}

result<toc_tree::text_ref> toc_tree::keep(std::string_view text) {
    if (text.size() > limits_.max_text_bytes - text_.size()) {
        return fault(errc::unsupported, "names and attributes of the layer are too long together");
    }
    text_ref at;
    at.offset = static_cast<std::uint32_t>(text_.size());
    at.size = static_cast<std::uint32_t>(text.size());
    text_ += text;
    return at;
}

std::optional<toc_tree::node_id> toc_tree::find(node_id directory, std::string_view name) const {
    const auto found = by_name_.find(key{directory, name});
    return found == by_name_.end() ? std::nullopt : std::optional(*found);
}

result<toc_tree::node_id> toc_tree::child_of(node_id parent, std::string_view name) {
    if (const auto known = find(parent, name)) {
        return *known;
    }
    // Entries are counted by the parser; these are the parents they imply, too.
    if (nodes_.size() > limits_.max_entries) {
        return fault(
          errc::unsupported,
          "layer has more than " + std::to_string(limits_.max_entries) + " files");
    }
    auto kept = keep(name);
    if (!kept) {
        return kept.error();
    }
    const auto id = static_cast<node_id>(nodes_.size());
    node& n = nodes_.emplace_back();
    n.parent = parent;
    n.name = *kept;
    by_name_.insert(id);
    return id;
}

// Entries of one directory mostly stand side by side, so the way to the last one's
// parent is remembered.
result<toc_tree::node_id> toc_tree::place(std::string_view path) {
    const auto slash = path.substr(0, path.find_last_not_of('/') + 1).rfind('/');
    if (slash == std::string_view::npos) {
        return walk(path);
    }
    const auto parent = path.substr(0, slash);
    if (parent != last_parent_ || last_parent_id_ == root) {
        auto found = walk(parent);
        if (!found) {
            return found;
        }
        last_parent_ = parent;
        last_parent_id_ = *found;
    }
    if (last_parent_id_ == root) { // then what follows may be "..", which is cleaned away
        return walk(path);
    }
    components rest(path.substr(slash));
    rest.enter();
    const auto name = rest.next();
    if (!name) {
        return name.error();
    }
    return name->empty() ? result<node_id>(last_parent_id_) : child_of(last_parent_id_, *name);
}

result<toc_tree::node_id> toc_tree::walk(std::string_view path) {
    components parts(path);
    node_id at = root;
    while (true) {
        auto name = parts.next();
        if (!name) {
            return name.error();
        }
        if (name->empty()) {
            return at;
        }
        auto child = child_of(at, *name);
        if (!child) {
            return child.error();
        }
        at = *child;
    }
}

result<void> toc_tree::add(const toc_entry& entry) {
    ++entries_;
    if (entry.type == kind::chunk) {
        if (last_ == no_node || nodes_[last_].type != kind::regular) {
            return bad_entry(entry, "is a chunk of no regular file");
        }
        return add_chunk(last_, entry);
    }
    if (entry.type == kind::none) {
        return bad_entry(entry, "has no type");
    }
    auto placed = place(entry.name);
    if (!placed) {
        return bad_entry(entry, placed.error().context(), placed.error().code());
    }
    if (*placed == root && entry.type != kind::directory) {
        return bad_entry(entry, "is the root, but no directory");
    }
    last_ = *placed;
    auto& n = nodes_[last_];
    // What an earlier entry of this name said is forgotten, but not its place.
    node fresh;
    fresh.parent = n.parent;
    fresh.name = n.name;
    fresh.order = entries_;
    n = fresh;
    n.type = entry.type;
    if (auto taken = take_attributes(n, entry); !taken) {
        return taken;
    }
    return entry.type == kind::regular ? take_content(n, entry) : result<void>();
}

result<void> toc_tree::take_attributes(node& n, const toc_entry& entry) {
    constexpr std::int64_t max_id = std::numeric_limits<std::uint32_t>::max() - 1; // (uid_t)-1
    if (entry.uid < 0 || entry.uid > max_id || entry.gid < 0 || entry.gid > max_id) {
        return bad_entry(entry, "has an owner out of range");
    }
    if (entry.mode < 0) {
        return bad_entry(entry, "has a negative mode");
    }
    n.mtime = entry.mtime;
    n.mode = static_cast<std::uint32_t>(entry.mode & 07777);
    n.uid = static_cast<std::uint32_t>(entry.uid);
    n.gid = static_cast<std::uint32_t>(entry.gid);
    if (auto taken = take_link(n, entry); !taken) {
        return taken;
    }
    if (auto taken = take_device(n, entry); !taken) {
        return taken;
    }
    return take_xattrs(n, entry);
}

result<void> toc_tree::take_link(node& n, const toc_entry& entry) {
    if (entry.type != kind::symlink && entry.type != kind::hardlink) {
        return {};
    }
    const auto& target = entry.link_name;
    if (
      target.empty() || target.size() > index_format::max_target_size ||
      target.find('\0') != std::string::npos) {
        return bad_entry(entry, "links to what cannot be a path");
    }
    auto kept = keep(target);
    if (!kept) {
        return kept.error();
    }
    n.target = *kept;
    n.size = entry.type == kind::symlink ? target.size() : 0;
    return {};
}

result<void> toc_tree::take_device(node& n, const toc_entry& entry) {
    if (entry.type != kind::character && entry.type != kind::block) {
        return {};
    }
    if (
      entry.device_major < 0 || entry.device_major > max_major || entry.device_minor < 0 ||
      entry.device_minor > max_minor) {
        return bad_entry(entry, "has a device number out of range");
    }
    n.major = static_cast<std::uint32_t>(entry.device_major);
    n.minor = static_cast<std::uint32_t>(entry.device_minor);
    return {};
}

result<void> toc_tree::take_xattrs(node& n, const toc_entry& entry) {
    if (
      entry.xattrs.size() > max_xattrs || xattrs_.size() + entry.xattrs.size() >
                                            xattrs_per_entry * std::uint64_t{limits_.max_entries}) {
        return bad_entry(entry, "has too many extended attributes", errc::unsupported);
    }
    n.first_xattr = static_cast<std::uint32_t>(xattrs_.size());
    std::size_t names = 0;
    for (const auto& [name, value] : entry.xattrs) {
        if (name.starts_with(administrators)) {
            continue; // containerd does not apply them either
        }
        names += name.size() + 1;
        if (
          name.empty() || name.size() > index_format::max_name_size ||
          name.find('\0') != std::string::npos || value.size() > index_format::max_value_size ||
          names > max_xattr_names) {
            return bad_entry(entry, "has an extended attribute that no system takes");
        }
        auto kept_name = keep(name);
        auto kept_value = keep(value);
        if (!kept_name || !kept_value) {
            return kept_name ? kept_value.error() : kept_name.error();
        }
        xattrs_.push_back({*kept_name, *kept_value});
    }
    const auto first = xattrs_.begin() + n.first_xattr;
    std::stable_sort(first, xattrs_.end(), [this](const xattr& a, const xattr& b) {
        return text(a.name) < text(b.name);
    });
    // Of a name given twice the last counts, as in any JSON object.
    auto kept = first;
    for (auto i = first; i != xattrs_.end(); ++i) {
        if (i + 1 == xattrs_.end() || text(i->name) != text((i + 1)->name)) {
            *kept++ = *i;
        }
    }
    xattrs_.erase(kept, xattrs_.end());
    n.xattr_count = static_cast<std::uint32_t>(xattrs_.size() - n.first_xattr);
    return {};
}

result<void> toc_tree::take_content(node& n, const toc_entry& entry) {
    if (entry.size < 0) {
        return bad_entry(entry, "has a negative size");
    }
    n.size = static_cast<std::uint64_t>(entry.size);
    n.first_chunk = static_cast<std::uint32_t>(chunks_.size());
    return n.size > 0 ? add_chunk(last_, entry) : result<void>();
}

// The chunk that `entry` (the file itself, or a chunk after it) describes.
// Signed values below 2^63 each, so their sums fit where both are not negative.
result<void> toc_tree::add_chunk(node_id id, const toc_entry& entry) {
    auto& n = nodes_[id];
    const auto file_size = static_cast<std::int64_t>(n.size);
    if (entry.chunk_offset < 0 || entry.chunk_offset >= file_size || entry.chunk_size < 0) {
        return bad(id, "has a chunk outside of the file");
    }
    const auto rest = file_size - entry.chunk_offset;
    const auto size = entry.chunk_size == 0 ? rest : entry.chunk_size;
    if (size > rest) {
        return bad(id, "has a chunk beyond its end");
    }
    if (size > index_format::max_chunk_size) {
        return bad(id, "has a chunk of more than 256 MiB", errc::unsupported);
    }
    if (entry.offset < 0 || static_cast<std::uint64_t>(entry.offset) >= payload_size_) {
        return bad(id, "has a chunk beyond the layer's data");
    }
    if (
      entry.inner_offset < 0 ||
      static_cast<std::uint64_t>(entry.inner_offset) > index_format::max_inner_offset) {
        return bad(id, "has a chunk too far into its stream");
    }
    const bool whole = size == file_size;
    const auto& content = entry.chunk_digest || !whole ? entry.chunk_digest : entry.file_digest;
    if (!content) {
        return bad(
          id, "has a chunk without a digest, so it cannot be verified; convert the image again",
          errc::unsupported);
    }
    chunk_record c;
    c.chunk = *content;
    c.blob_offset = static_cast<std::uint64_t>(entry.offset);
    c.file_offset = static_cast<std::uint64_t>(entry.chunk_offset);
    c.inner_offset = static_cast<std::uint64_t>(entry.inner_offset);
    c.size = static_cast<std::uint32_t>(size);
    c.owner = id;
    chunks_.push_back(c);
    ++n.chunk_count;
    return {};
}

result<void> toc_tree::finish() {
    if (auto checked = check_parents(); !checked) {
        return checked;
    }
    if (auto checked = check_coverage(); !checked) {
        return checked;
    }
    if (auto ended = end_chunks(); !ended) {
        return ended;
    }
    if (auto resolved = resolve_links(); !resolved) {
        return resolved;
    }
    group_children();
    return {};
}

result<void> toc_tree::check_parents() const {
    for (node_id id = 1; id < nodes_.size(); ++id) {
        const auto parent = nodes_[id].parent;
        if (nodes_[parent].type != kind::directory) {
            return bad(
              id,
              "lies in what is no directory but a " + std::string(name_of(nodes_[parent].type)));
        }
    }
    return {};
}

// A file's chunks follow each other without a gap or an overlap to its end.
result<void> toc_tree::check_coverage() {
    for (node_id id = 0; id < nodes_.size(); ++id) {
        const auto& n = nodes_[id];
        const auto first = chunks_.begin() + n.first_chunk;
        const auto last = first + n.chunk_count;
        std::sort(first, last, [](const chunk_record& a, const chunk_record& b) {
            return a.file_offset < b.file_offset;
        });
        std::uint64_t covered = 0;
        for (auto c = first; c != last; covered += (c++)->size) {
            if (c->file_offset != covered) {
                return bad(id, "has chunks with a gap or an overlap");
            }
        }
        if (n.type == kind::regular && covered != n.size) {
            return bad(id, "has chunks that end before the file does");
        }
    }
    return {};
}

// A stream ends where the next begins, wherever that is in the TOC: its order
// is not trusted, and files that share a stream repeat its offset.
result<void> toc_tree::end_chunks() {
    std::vector<std::uint64_t> starts;
    starts.reserve(chunks_.size());
    for (const auto& c : chunks_) {
        starts.push_back(c.blob_offset);
    }
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    for (auto& c : chunks_) {
        const auto next = std::upper_bound(starts.begin(), starts.end(), c.blob_offset);
        c.compressed_end = next == starts.end() ? payload_size_ : *next;
        // No honest stream inflates to this; refusing bounds what a decode may need.
        const auto inflated = c.inner_offset + c.size;
        if (inflated / index_format::max_expansion > c.compressed_end - c.blob_offset) {
            return bad(c.owner, "has a chunk that its compressed bytes cannot hold");
        }
    }
    return {};
}

result<void> toc_tree::resolve_links() {
    std::vector<node_id> links;
    for (node_id id = 0; id < nodes_.size(); ++id) {
        if (nodes_[id].type == kind::hardlink) {
            links.push_back(id);
        }
    }
    std::sort(links.begin(), links.end(), [this](node_id a, node_id b) {
        return nodes_[a].order < nodes_[b].order;
    });
    std::vector<node_id> chain;
    for (const auto id : links) {
        chain.clear();
        auto target = resolve_link(id, chain);
        if (!target) {
            return target.error();
        }
        for (const auto link : chain) {
            nodes_[link].link = *target;
        }
        if (nodes_[*target].order < nodes_[id].order) {
            take_attributes_of_link(nodes_[*target], nodes_[id]);
        }
    }
    return {};
}

// Who extracts a tar applies the owner, mode and time of a link's own header to
// the file that it leads to, so the last one counts there, and here.
void toc_tree::take_attributes_of_link(node& file, const node& link) noexcept {
    file.mode = link.mode;
    file.uid = link.uid;
    file.gid = link.gid;
    file.mtime = link.mtime;
}

// Follows links from `id` to what is none, noting those on the way. A link on
// the way is marked by leading to itself until its chain is resolved.
result<toc_tree::node_id> toc_tree::resolve_link(node_id id, std::vector<node_id>& chain) {
    while (nodes_[id].type == kind::hardlink) {
        if (nodes_[id].link == id) {
            return bad(id, "is a hard link in a loop");
        }
        if (nodes_[id].link != no_node) {
            return nodes_[id].link;
        }
        nodes_[id].link = id;
        chain.push_back(id);
        components parts(text(nodes_[id].target));
        node_id at = root;
        while (true) {
            auto name = parts.next();
            if (!name) {
                return bad(id, "links to a bad name: " + name.error().context());
            }
            if (name->empty()) {
                break;
            }
            const auto child = find(at, *name);
            if (!child) {
                return bad(
                  id, "is a hard link to " + printable(text(nodes_[id].target)) +
                        ", which is not in the layer");
            }
            at = *child;
        }
        id = at;
    }
    if (nodes_[id].type == kind::directory) {
        return bad(chain.front(), "is a hard link to a directory");
    }
    return id;
}

void toc_tree::group_children() {
    first_child_.assign(nodes_.size() + 1, 0);
    for (node_id id = 1; id < nodes_.size(); ++id) {
        ++first_child_[nodes_[id].parent + 1];
    }
    for (std::size_t i = 1; i < first_child_.size(); ++i) {
        first_child_[i] += first_child_[i - 1];
    }
    children_.resize(nodes_.size() - 1);
    auto next = first_child_;
    for (node_id id = 1; id < nodes_.size(); ++id) {
        children_[next[nodes_[id].parent]++] = id;
    }
}

std::span<const toc_tree::node_id> toc_tree::children(node_id directory) const noexcept {
    const auto first = first_child_[directory];
    return std::span(children_).subspan(first, first_child_[directory + 1] - first);
}

std::span<const chunk_record> toc_tree::chunks(const node& file) const noexcept {
    return std::span(chunks_).subspan(file.first_chunk, file.chunk_count);
}

std::span<const toc_tree::xattr> toc_tree::xattrs(const node& of) const noexcept {
    return std::span(xattrs_).subspan(of.first_xattr, of.xattr_count);
}

} // namespace firstlight
