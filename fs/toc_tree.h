#pragma once

#include "actors/result.h"
#include "fs/index_compiler.h"
#include "fs/index_format.h"
#include "fs/keyed_hash.h"
#include "fs/toc_parser.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

/// The tree that a TOC describes, by the format's loading rules: implicit
/// parents, later entries over earlier ones, chunks to the file before them,
/// hard links to any entry. Names are still those of the TOC, whiteouts among them.
///
/// Add all entries, then finish(), then read. Memory is a small multiple of
/// limits.max_entries and limits.max_text_bytes. One thread.
///
/// Source: stargz-snapshotter estargz/estargz.go, initFields; docs/estargz.md.
class toc_tree {
public:
    using node_id = std::uint32_t;
    static constexpr node_id root = 0;
    static constexpr node_id no_node = std::numeric_limits<node_id>::max();

    /// A place in the tree's text, which all names, targets and xattrs are in.
    struct text_ref {
        std::uint32_t offset = 0;
        std::uint32_t size = 0;
    };
    struct xattr {
        text_ref name, value;
    };
    struct node {
        toc_entry::kind type = toc_entry::kind::directory; // implicit until an entry says more
        node_id parent = root;
        text_ref name;
        std::uint64_t size = 0;
        std::int64_t mtime = 0;
        std::uint32_t mode = 0755; // permission bits only
        std::uint32_t uid = 0;
        std::uint32_t gid = 0;
        std::uint32_t major = 0;
        std::uint32_t minor = 0;
        std::uint32_t first_chunk = 0;
        std::uint32_t chunk_count = 0;
        std::uint32_t first_xattr = 0;
        std::uint32_t xattr_count = 0;
        text_ref target;         // of a symlink, verbatim; of a hard link, a path
        node_id link = no_node;  // of a hard link after finish(): what it leads to
        std::uint32_t order = 0; // which entry of the TOC it is from
    };

    toc_tree(std::uint64_t payload_size, const toc_limits& limits);
    // by_name_ refers to this object.
    toc_tree(const toc_tree&) = delete;
    toc_tree& operator=(const toc_tree&) = delete;

    /// Takes the next entry of the TOC. Errors: as compile_index().
    result<void> add(const toc_entry& entry);
    /// Checks what only the whole can tell, and resolves links and chunk ends.
    result<void> finish();

    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(nodes_.size()); }
    const node& at(node_id id) const noexcept { return nodes_[id]; }
    std::string_view text(text_ref at) const noexcept {
        return std::string_view(text_).substr(at.offset, at.size);
    }
    /// The nodes in a directory, in no particular order. After finish().
    std::span<const node_id> children(node_id directory) const noexcept;
    /// The chunks of a regular file, in its order; `owner` is the node.
    std::span<const chunk_record> chunks(const node& file) const noexcept;
    /// Sorted by name.
    std::span<const xattr> xattrs(const node& of) const noexcept;
    std::optional<node_id> find(node_id directory, std::string_view name) const;

private:
    // The index of nodes by (parent, name).
    struct key {
        node_id parent;
        std::string_view name;
    };
    struct hash {
        using is_transparent = void;
        const toc_tree* tree;
        keyed_hash keyed;
        std::size_t operator()(const key& k) const noexcept;
        std::size_t operator()(node_id id) const noexcept;
    };
    struct equal {
        using is_transparent = void;
        const toc_tree* tree;
        bool operator()(node_id a, node_id b) const noexcept { return a == b; }
        bool operator()(const key& k, node_id id) const noexcept;
        bool operator()(node_id id, const key& k) const noexcept { return (*this)(k, id); }
    };

    result<node_id> place(std::string_view path);
    result<node_id> walk(std::string_view path);
    result<node_id> child_of(node_id parent, std::string_view name);
    result<text_ref> keep(std::string_view text);
    result<void> take_attributes(node& n, const toc_entry& entry);
    result<void> take_content(node& n, const toc_entry& entry);
    result<void> take_link(node& n, const toc_entry& entry);
    result<void> take_device(node& n, const toc_entry& entry);
    result<void> take_xattrs(node& n, const toc_entry& entry);
    result<void> add_chunk(node_id id, const toc_entry& entry);
    result<void> check_parents() const;
    result<void> check_coverage();
    result<void> end_chunks();
    result<void> resolve_links();
    static void take_attributes_of_link(node& file, const node& link) noexcept;
    result<node_id> resolve_link(node_id id, std::vector<node_id>& chain);
    void group_children();
    std::string path_of(node_id id) const;
    fault bad(node_id id, std::string_view why, errc code = errc::corrupt) const;

    std::uint64_t payload_size_;
    toc_limits limits_;
    std::vector<node> nodes_;
    std::vector<chunk_record> chunks_; // of replaced files too
    std::vector<xattr> xattrs_;
    std::string text_;
    boost::unordered_flat_set<node_id, hash, equal> by_name_;
    std::vector<std::uint32_t> first_child_; // of each node and the end: into children_
    std::vector<node_id> children_;
    node_id last_ = no_node;        // of the last entry that was no chunk
    std::uint32_t entries_ = 0;     // taken so far
    std::string last_parent_;       // a path as the TOC gave it,
    node_id last_parent_id_ = root; // and where it led to
};

} // namespace firstlight
