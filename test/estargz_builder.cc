#include "test/estargz_builder.h"

#include "actors/buffer.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <stdexcept>

namespace firstlight::test {

namespace {

constexpr std::size_t block = 512;

std::string format(const char* how, auto... values) {
    std::array<char, 256> text;
    const int size = std::snprintf(text.data(), text.size(), how, values...);
    return {text.data(), static_cast<std::size_t>(size)};
}

// One gzip stream after the other, appended to a string.
class gzip_writer {
public:
    gzip_writer(std::string& out, int level)
      : out_(out)
      , level_(level) {}
    ~gzip_writer() {
        if (open_) {
            deflateEnd(&z_);
        }
    }
    gzip_writer(const gzip_writer&) = delete;
    gzip_writer& operator=(const gzip_writer&) = delete;

    void write(std::string_view data) {
        if (!open_) {
            z_ = {};
            if (
              deflateInit2(&z_, level_, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
              Z_OK) {
                throw std::runtime_error("deflateInit2");
            }
            open_ = true;
        }
        run(data, Z_NO_FLUSH);
    }
    void flush() {
        if (open_) {
            run({}, Z_SYNC_FLUSH);
        }
    }
    void close() {
        if (open_) {
            run({}, Z_FINISH);
            deflateEnd(&z_);
            open_ = false;
        }
    }

private:
    void run(std::string_view data, int mode) {
        z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
        z_.avail_in = static_cast<uInt>(data.size());
        std::array<char, 16384> piece;
        do {
            z_.next_out = reinterpret_cast<Bytef*>(piece.data());
            z_.avail_out = piece.size();
            if (deflate(&z_, mode) == Z_STREAM_ERROR) {
                throw std::runtime_error("deflate");
            }
            out_.append(piece.data(), piece.size() - z_.avail_out);
        } while (z_.avail_out == 0);
    }

    std::string& out_;
    int level_;
    z_stream z_{};
    bool open_ = false;
};

std::string padded(std::string_view content) {
    std::string all(content);
    all.resize((all.size() + block - 1) / block * block);
    return all;
}

void put(std::string& header, std::size_t at, std::size_t size, std::string_view text) {
    std::memcpy(header.data() + at, text.data(), std::min(size, text.size()));
}

std::string ustar(
  std::string_view name, char type, std::uint64_t size, std::string_view link,
  const file_attributes& a, std::uint32_t major, std::uint32_t minor) {
    std::string header(block, '\0');
    put(header, 0, 100, name);
    put(header, 100, 8, format("%07o", a.mode));
    put(header, 108, 8, format("%07o", a.uid));
    put(header, 116, 8, format("%07o", a.gid));
    put(header, 124, 12, format("%011llo", static_cast<unsigned long long>(size)));
    put(header, 136, 12, format("%011llo", static_cast<unsigned long long>(a.mtime)));
    put(header, 148, 8, "        ");
    header[156] = type;
    put(header, 157, 100, link);
    put(header, 257, 8, std::string_view("ustar\00000", 8));
    put(header, 329, 8, format("%07o", major));
    put(header, 337, 8, format("%07o", minor));
    unsigned sum = 0;
    for (const char c : header) {
        sum += static_cast<unsigned char>(c);
    }
    put(header, 148, 8, format("%06o", sum) + std::string("\0 ", 2));
    return header;
}

// POSIX pax: "<length of all> <key>=<value>\n".
std::string pax_record(std::string_view key, std::string_view value) {
    const auto rest = key.size() + value.size() + 3;
    auto size = rest + 1;
    while (std::to_string(size).size() + rest != size) {
        ++size;
    }
    return std::to_string(size) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

std::string escaped(std::string_view text) {
    std::string json = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            json += '\\';
            json += c;
        } else if (static_cast<unsigned char>(c) < ' ') {
            json += format("\\u%04x", static_cast<unsigned>(c));
        } else {
            json += c;
        }
    }
    return json + "\"";
}

std::string base64(std::string_view data) {
    constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < data.size(); i += 3) {
        std::uint32_t bits = 0;
        const auto count = std::min<std::size_t>(3, data.size() - i);
        for (std::size_t j = 0; j < 3; ++j) {
            bits = bits << 8 | (j < count ? static_cast<unsigned char>(data[i + j]) : 0);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            text += j <= count ? digits[bits >> (18 - 6 * j) & 63] : '=';
        }
    }
    return text;
}

std::string rfc3339(std::int64_t seconds) {
    const std::time_t when = seconds;
    std::tm parts{};
    gmtime_r(&when, &parts);
    std::array<char, 64> text;
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

// Fields in the order and the shape of Go's encoder, empty ones left out.
class json_object {
public:
    json_object& text(std::string_view key, std::string_view value) {
        return value.empty() ? *this : raw(key, escaped(value));
    }
    json_object& number(std::string_view key, std::uint64_t value) {
        return value == 0 ? *this : raw(key, std::to_string(value));
    }
    json_object& raw(std::string_view key, std::string_view value) {
        all_ += all_.empty() ? "" : ",";
        all_ += "\n\t\t\t" + escaped(key) + ": " + std::string(value);
        return *this;
    }
    std::string done() const { return "{" + all_ + "\n\t\t}"; }

private:
    std::string all_;
};

std::string type_name(char type) {
    switch (type) {
    case '1':
        return "hardlink";
    case '2':
        return "symlink";
    case '3':
        return "char";
    case '4':
        return "block";
    case '5':
        return "dir";
    case '6':
        return "fifo";
    default:
        return "reg";
    }
}

digest sha256(std::string_view text) {
    return digest::of(as_bytes(text));
}

} // namespace

std::span<const std::byte> estargz_blob::span() const {
    return as_bytes(bytes);
}

std::span<const std::byte> estargz_blob::toc_member() const {
    return span().subspan(toc_offset, bytes.size() - footer_size - toc_offset);
}

std::string gzip_member(std::string_view content, int level) {
    std::string out;
    gzip_writer gzip(out, level);
    gzip.write(content);
    gzip.close();
    return out;
}

namespace {

std::string toc_tar(std::string_view json) {
    const file_attributes plain{.mode = 0444, .mtime = 0};
    return ustar("stargz.index.json", '0', json.size(), "", plain, 0, 0) + padded(json) +
           std::string(2 * block, '\0');
}

} // namespace

std::string toc_member_of(std::string_view json, int level) {
    return gzip_member(toc_tar(json), level);
}

std::string estargz_footer(std::uint64_t toc_offset, bool legacy) {
    const auto where = format("%016llxSTARGZ", static_cast<unsigned long long>(toc_offset));
    std::string footer("\x1f\x8b\x08\x04\0\0\0\0\0\xff", 10);
    footer += legacy ? std::string("\x16\0", 2) : std::string("\x1a\0SG\x16\0", 6);
    footer += where;
    return footer + std::string("\x01\x00\x00\xff\xff\0\0\0\0\0\0\0\0", 13);
}

/// Follows the reference's writer (estargz/estargz.go, appendTar): which bytes
/// share a stream, and what an entry says of it.
class estargz_builder::writer {
public:
    explicit writer(const options& how)
      : how_(how)
      , gzip_(out_, how.level) {}

    void add(const item& i) {
        if (i.type == 'R') {
            entries_.push_back(i.content);
            return;
        }
        write(headers(i));
        if (i.type != '0' || i.content.empty()) {
            auto entry = described(i);
            entries_.push_back(
              i.type == '0' ? entry.text("digest", sha256("").to_string()).done() : entry.done());
            return;
        }
        for (std::uint64_t at = 0; at < i.content.size(); at += how_.chunk_size) {
            add_chunk(i, at);
        }
        write(padded(i.content).substr(i.content.size()));
    }

    estargz_blob finish(const std::function<std::string(std::string)>& edit) {
        gzip_.close();
        estargz_blob blob;
        blob.toc_json = "{\n\t\"version\": 1,\n\t\"entries\": [";
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            blob.toc_json += (i > 0 ? ",\n\t\t" : "\n\t\t") + entries_[i];
        }
        blob.toc_json += entries_.empty() ? "]\n}" : "\n\t]\n}";
        if (edit) {
            blob.toc_json = edit(std::move(blob.toc_json));
        }
        blob.toc = sha256(blob.toc_json);
        blob.toc_offset = out_.size();
        const auto tar = toc_tar(blob.toc_json);
        const auto footer = estargz_footer(blob.toc_offset, how_.legacy);
        blob.footer_size = footer.size();
        blob.bytes = out_ + gzip_member(tar, 9) + footer;
        blob.layer = sha256(blob.bytes);
        blob.diff_id = sha256(tar_ + tar);
        return blob;
    }

private:
    void write(std::string_view content) {
        if (!content.empty()) {
            gzip_.write(content);
            tar_ += content;
        }
    }

    static std::string headers(const item& i) {
        std::string records;
        if (i.name.size() > 100) {
            records += pax_record("path", i.name);
        }
        if (i.target.size() > 100) {
            records += pax_record("linkpath", i.target);
        }
        for (const auto& [name, value] : i.attributes.xattrs) {
            records += pax_record("SCHILY.xattr." + name, value);
        }
        std::string all;
        if (!records.empty()) {
            all = ustar("PaxHeaders.0/entry", 'x', records.size(), "", {}, 0, 0) + padded(records);
        }
        const auto size = i.type == '0' ? i.content.size() : 0;
        return all + ustar(i.name, i.type, size, i.target, i.attributes, i.major, i.minor);
    }

    json_object described(const item& i) const {
        json_object entry;
        entry.text("name", i.name).text("type", type_name(i.type));
        entry.number("size", i.type == '0' ? i.content.size() : 0);
        entry.text("modtime", rfc3339(i.attributes.mtime)).text("linkName", i.target);
        entry.number("mode", i.attributes.mode);
        entry.number("uid", i.attributes.uid).number("gid", i.attributes.gid);
        entry.number("devMajor", i.major).number("devMinor", i.minor);
        std::string xattrs;
        for (const auto& [name, value] : i.attributes.xattrs) {
            xattrs += (xattrs.empty() ? "" : ", ") + escaped(name) + ": " + escaped(base64(value));
        }
        return xattrs.empty() ? entry : entry.raw("xattrs", "{" + xattrs + "}");
    }

    void add_chunk(const item& i, std::uint64_t at) {
        const auto chunk = std::string_view(i.content).substr(at, how_.chunk_size);
        gzip_.flush();
        const bool landmark = i.name.ends_with("prefetch.landmark") && at == 0;
        if (landmark || out_.size() - stream_ >= how_.min_chunk_size) {
            gzip_.close();
            stream_ = out_.size();
            stream_tar_ = tar_.size();
        }
        json_object entry;
        if (at == 0) {
            entry = described(i);
            entry.text("digest", sha256(i.content).to_string());
        } else {
            entry.text("name", i.name).text("type", "chunk");
        }
        entry.number("offset", stream_).number("innerOffset", tar_.size() - stream_tar_);
        entry.number("chunkOffset", at);
        entry.number("chunkSize", chunk.size() == how_.chunk_size ? chunk.size() : 0);
        if (!how_.legacy) {
            entry.text("chunkDigest", sha256(chunk).to_string());
        }
        entries_.push_back(entry.done());
        write(chunk);
    }

    options how_;
    std::string out_; // the blob
    std::string tar_; // what it inflates to
    gzip_writer gzip_;
    std::vector<std::string> entries_;
    std::uint64_t stream_ = 0;     // where the current stream starts in the blob,
    std::uint64_t stream_tar_ = 0; // and in the tar
};

estargz_builder::estargz_builder() = default;

estargz_builder::estargz_builder(options how)
  : how_(how) {
}

estargz_builder& estargz_builder::add(item i) {
    items_.push_back(std::move(i));
    return *this;
}

estargz_builder&
estargz_builder::file(std::string name, std::string_view content, file_attributes a) {
    return add(
      {.name = std::move(name), .content = std::string(content), .attributes = std::move(a)});
}

estargz_builder& estargz_builder::directory(std::string name, file_attributes a) {
    return add({.type = '5', .name = std::move(name), .attributes = std::move(a)});
}

estargz_builder& estargz_builder::symlink(std::string name, std::string target, file_attributes a) {
    return add(
      {.type = '2',
       .name = std::move(name),
       .target = std::move(target),
       .attributes = std::move(a)});
}

estargz_builder& estargz_builder::hardlink(std::string name, std::string target) {
    return add({.type = '1', .name = std::move(name), .target = std::move(target)});
}

estargz_builder& estargz_builder::character_device(
  std::string name, std::uint32_t major, std::uint32_t minor, file_attributes a) {
    return add(
      {.type = '3',
       .name = std::move(name),
       .attributes = std::move(a),
       .major = major,
       .minor = minor});
}

estargz_builder& estargz_builder::block_device(
  std::string name, std::uint32_t major, std::uint32_t minor, file_attributes a) {
    return add(
      {.type = '4',
       .name = std::move(name),
       .attributes = std::move(a),
       .major = major,
       .minor = minor});
}

estargz_builder& estargz_builder::fifo(std::string name, file_attributes a) {
    return add({.type = '6', .name = std::move(name), .attributes = std::move(a)});
}

estargz_builder& estargz_builder::whiteout(std::string path) {
    const auto slash = path.rfind('/');
    path.insert(slash == std::string::npos ? 0 : slash + 1, ".wh.");
    return file(std::move(path), "");
}

estargz_builder& estargz_builder::opaque(std::string directory) {
    return file(directory.empty() ? ".wh..wh..opq" : directory + "/.wh..wh..opq", "");
}

estargz_builder& estargz_builder::prefetch_landmark() {
    return file(".prefetch.landmark", "\x0f");
}

estargz_builder& estargz_builder::no_prefetch_landmark() {
    return file(".no.prefetch.landmark", "\x0f");
}

estargz_builder& estargz_builder::raw_entry(std::string json) {
    return add({.type = 'R', .content = std::move(json)});
}

estargz_builder& estargz_builder::edit_toc(std::function<std::string(std::string)> edit) {
    edit_ = std::move(edit);
    return *this;
}

estargz_blob estargz_builder::build() const {
    writer out(how_);
    for (const auto& i : items_) {
        out.add(i);
    }
    return out.finish(edit_);
}

} // namespace firstlight::test
