#include "fs/index_compiler.h"

#include "fs/index_format.h"
#include "fs/keyed_hash.h"
#include "fs/toc_parser.h"
#include "fs/toc_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace firstlight {

namespace {

namespace format = index_format;
using kind = toc_entry::kind;
using node_id = toc_tree::node_id;

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_marker = ".wh..wh..opq";
constexpr std::string_view prefetch_landmark = ".prefetch.landmark";
constexpr std::string_view no_prefetch_landmark = ".no.prefetch.landmark";
constexpr std::string_view state_directory = ".stargz-snapshotter";

std::uint32_t type_bits(kind type) {
    switch (type) {
    case kind::regular:
        return S_IFREG;
    case kind::symlink:
        return S_IFLNK;
    case kind::character:
        return S_IFCHR;
    case kind::block:
        return S_IFBLK;
    case kind::fifo:
        return S_IFIFO;
    default:
        return S_IFDIR;
    }
}

// The strings of the file. Attributes repeat over a whole layer (one SELinux
// label on every file), so those are kept once.
class pool {
public:
    std::uint32_t add(std::string_view text) {
        const auto at = static_cast<std::uint32_t>(bytes_.size());
        bytes_ += text;
        return at;
    }
    std::uint32_t add_once(std::string_view text) { // lives as long as this
        const auto [known, fresh] = once_.try_emplace(text, 0);
        if (fresh) {
            known->second = add(text);
        }
        return known->second;
    }
    const std::string& bytes() const noexcept { return bytes_; }

private:
    std::string bytes_;
    std::unordered_map<std::string_view, std::uint32_t, keyed_hash> once_;
};

/// Turns a finished tree into the tables of an index.
///
/// Ids are given directory by directory: all children of one side by side, by
/// name, then those of its sub-directories in the same order. So listing or
/// walking reads the tables forward, and the ids depend on the TOC alone.
class index_writer {
public:
    explicit index_writer(const toc_tree& tree)
      : tree_(tree)
      , id_of_(tree.size(), unseen) {}

    buffer write(const digest& toc, std::uint64_t payload_size) {
        number_all();
        for (entry_id id = 0; id < inodes_.size(); ++id) {
            fill(id);
        }
        note_landmarks();
        return assemble(toc, payload_size);
    }

private:
    static constexpr entry_id unseen = std::numeric_limits<entry_id>::max();

    struct shown {
        std::string_view name;
        node_id node;
        bool whiteout;
    };
    struct origin {
        node_id node;
        bool whiteout;
        std::uint32_t first_name; // of a directory: in names_
        std::uint32_t name_count;
    };
    struct named {
        std::string_view name;
        entry_id id;
    };

    void number_all() {
        add_inode(toc_tree::root, false, 0);
        inodes_[0].nlink = 2;
        std::vector<entry_id> open{0};
        while (!open.empty()) {
            const auto directory = open.back();
            open.pop_back();
            const auto first = inodes_.size();
            number_children(directory);
            for (auto id = inodes_.size(); id-- > first;) { // so that the first is popped first
                if (S_ISDIR(inodes_[id].mode)) {
                    open.push_back(static_cast<entry_id>(id));
                }
            }
        }
    }

    void number_children(entry_id directory) {
        origins_[directory].first_name = static_cast<std::uint32_t>(names_.size());
        for (const auto& child : visible_children(directory)) {
            auto id = child.whiteout ? unseen : id_of_[child.node];
            if (id == unseen) {
                id = add_inode(child.node, child.whiteout, directory);
            }
            auto& n = inodes_[id];
            if (S_ISDIR(n.mode)) {
                n.nlink = 2;
                ++inodes_[directory].nlink; // its ".."
            } else {
                ++n.nlink;
            }
            names_.push_back({child.name, id});
        }
        origins_[directory].name_count =
          static_cast<std::uint32_t>(names_.size()) - origins_[directory].first_name;
    }

    // By name; hard links are replaced by what they lead to. What overlayfs
    // must not see is dropped: formats of OCI layers, "Whiteouts".
    std::vector<shown> visible_children(entry_id directory) {
        std::vector<shown> children;
        for (const auto node : tree_.children(origins_[directory].node)) {
            const auto& n = tree_.at(node);
            const auto name = tree_.text(n.name);
            if (name == opaque_marker) {
                inodes_[directory].flags |= format::opaque_directory;
            } else if (name.starts_with(whiteout_prefix)) {
                const auto hidden = name.substr(whiteout_prefix.size());
                if (
                  !hidden.empty() && hidden != "." && hidden != ".." &&
                  !hidden.starts_with(whiteout_prefix)) {
                    children.push_back({hidden, node, true});
                }
            } else if (directory != 0 || !hidden_in_root(name)) {
                children.push_back({name, n.type == kind::hardlink ? n.link : node, false});
            }
        }
        std::sort(children.begin(), children.end(), [](const shown& a, const shown& b) {
            return a.name != b.name ? a.name < b.name : a.whiteout < b.whiteout;
        });
        // A real entry stands before the whiteout of its name, and wins.
        const auto last =
          std::unique(children.begin(), children.end(), [](const shown& a, const shown& b) {
              return a.name == b.name;
          });
        children.erase(last, children.end());
        return children;
    }

    static bool hidden_in_root(std::string_view name) {
        return name == prefetch_landmark || name == no_prefetch_landmark || name == state_directory;
    }

    entry_id add_inode(node_id node, bool whiteout, entry_id parent) {
        const auto id = static_cast<entry_id>(inodes_.size());
        const auto& from = tree_.at(node);
        auto& n = inodes_.emplace_back(); // all zeros
        n.mtime = from.mtime;
        n.parent = parent;
        if (whiteout) {
            n.mode = S_IFCHR; // 0:0, nobody's, without permissions, as overlayfs makes them
        } else {
            n.mode = type_bits(from.type) | from.mode;
            n.size = from.size;
            n.uid = from.uid;
            n.gid = from.gid;
            id_of_[node] = id;
        }
        origins_.push_back({node, whiteout, 0, 0});
        return id;
    }

    // The tables that inode `id` refers to, which are thus in the order of ids.
    void fill(entry_id id) {
        const auto& from = origins_[id];
        const auto& node = tree_.at(from.node);
        auto& n = inodes_[id];
        n.first_xattr = static_cast<std::uint32_t>(xattrs_.size());
        if (from.whiteout) {
            return;
        }
        fill_xattrs(n, node);
        if (S_ISDIR(n.mode)) {
            fill_names(n, from);
        } else if (S_ISREG(n.mode)) {
            fill_chunks(n, node, id);
        } else if (S_ISLNK(n.mode)) {
            const auto target = tree_.text(node.target);
            n.first = pool_.add(target);
            n.count = static_cast<std::uint32_t>(target.size());
        } else {
            n.first = node.major;
            n.count = node.minor;
        }
    }

    void fill_xattrs(format::inode& n, const toc_tree::node& node) {
        for (const auto& x : tree_.xattrs(node)) {
            const auto name = tree_.text(x.name);
            const auto value = tree_.text(x.value);
            xattrs_.push_back(
              {pool_.add_once(name), static_cast<std::uint32_t>(name.size()), pool_.add_once(value),
               static_cast<std::uint32_t>(value.size())});
        }
        n.xattr_count = node.xattr_count;
    }

    void fill_names(format::inode& n, const origin& from) {
        n.first = static_cast<std::uint32_t>(records_.size());
        n.count = from.name_count;
        for (std::uint32_t i = 0; i < from.name_count; ++i) {
            const auto& [name, id] = names_[from.first_name + i];
            records_.push_back({pool_.add(name), static_cast<std::uint32_t>(name.size()), id});
        }
    }

    void fill_chunks(format::inode& n, const toc_tree::node& node, entry_id id) {
        n.first = static_cast<std::uint32_t>(chunks_.size());
        n.count = node.chunk_count;
        for (auto c : tree_.chunks(node)) {
            c.owner = id;
            chunks_.push_back(c);
        }
        content_bytes_ += n.size;
    }

    void note_landmarks() {
        if (tree_.find(toc_tree::root, no_prefetch_landmark)) {
            flags_ |= format::no_prefetch;
        }
        const auto landmark = tree_.find(toc_tree::root, prefetch_landmark);
        if (landmark && tree_.at(*landmark).chunk_count > 0) {
            flags_ |= format::has_prefetch_end;
            prefetch_end_ = tree_.chunks(tree_.at(*landmark)).front().blob_offset;
        }
    }

    std::vector<std::uint32_t> chunks_by_offset() const {
        std::vector<std::uint32_t> order(chunks_.size());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
            const auto& left = chunks_[a];
            const auto& right = chunks_[b];
            if (left.blob_offset != right.blob_offset) {
                return left.blob_offset < right.blob_offset;
            }
            return left.inner_offset != right.inner_offset ? left.inner_offset < right.inner_offset
                                                           : a < b;
        });
        return order;
    }

    buffer assemble(const digest& toc, std::uint64_t payload_size) const {
        const auto order = chunks_by_offset();
        format::header h{};
        std::uint64_t end = sizeof h;
        const auto place = [&end](format::section& s, const auto& table) {
            s.offset = end;
            s.count = table.size();
            end = (end + table.size() * sizeof table[0] + 7) / 8 * 8;
        };
        place(h.inodes, inodes_);
        place(h.names, records_);
        place(h.chunks, chunks_);
        place(h.by_offset, order);
        place(h.xattrs, xattrs_);
        place(h.pool, pool_.bytes());
        h.magic = format::magic;
        h.version = format::version;
        h.file_size = end;
        h.toc = toc;
        h.payload_size = payload_size;
        h.content_bytes = content_bytes_;
        h.prefetch_end = prefetch_end_;
        h.flags = flags_;

        buffer file(end);
        std::memset(file.data(), 0, file.size()); // padding too: the same TOC, the same bytes
        const auto put = [&file](const format::section& s, const auto& table) {
            if (!table.empty()) {
                std::memcpy(file.data() + s.offset, table.data(), table.size() * sizeof table[0]);
            }
        };
        put(h.inodes, inodes_);
        put(h.names, records_);
        put(h.chunks, chunks_);
        put(h.by_offset, order);
        put(h.xattrs, xattrs_);
        put(h.pool, pool_.bytes());
        std::memcpy(file.data(), &h, sizeof h);
        h.checksum = format::checksum(file.span());
        std::memcpy(file.data(), &h, sizeof h);
        return file;
    }

    const toc_tree& tree_;
    std::vector<entry_id> id_of_; // by node; a whiteout has none
    std::vector<origin> origins_; // by id
    std::vector<named> names_;    // grouped by directory, in the order they were numbered in
    std::vector<format::inode> inodes_;
    std::vector<format::name> records_;
    std::vector<chunk_record> chunks_;
    std::vector<format::xattr> xattrs_;
    pool pool_;
    std::uint64_t content_bytes_ = 0;
    std::uint64_t prefetch_end_ = 0;
    std::uint32_t flags_ = 0;
};

} // namespace

result<compiled_index> compile_index(const toc_input& input, const toc_limits& limits) {
    toc_tree tree(input.payload_size, limits);
    const auto add = [&tree](const toc_entry& entry) { return tree.add(entry); };
    auto parsed = parse_toc(input, limits, add);
    if (!parsed) {
        return parsed.error();
    }
    if (auto finished = tree.finish(); !finished) {
        return finished.error().in("layer's TOC");
    }
    compiled_index compiled;
    compiled.toc = *parsed;
    compiled.bytes = index_writer(tree).write(compiled.toc, input.payload_size);
    return compiled;
}

} // namespace firstlight
