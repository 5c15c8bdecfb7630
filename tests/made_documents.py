"""Small documents, made for tests."""

import io
import zipfile
from email.message import EmailMessage


def made_pdf(*pages, info="", trailer=""):
    """A PDF with a page of lines for each argument."""
    objects = {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: f"<< {info} >>",
    }
    kids = range(5, 5 + 2 * len(pages), 2)
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[2] = f"<< /Type /Pages /Kids [{listed}] /Count {len(pages)} >>"
    for kid, lines in zip(kids, pages, strict=True):
        shown = " ".join(f"({line}) Tj T*" for line in lines)
        drawn = f"BT /F 18 Tf 22 TL 40 700 Td {shown} ET"
        objects[kid] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {kid + 1} 0 R "
            "/Resources << /Font << /F 3 0 R >> >> >>"
        )
        objects[kid + 1] = f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream"
    out, index = b"%PDF-1.4\n", "0000000000 65535 f \n"
    for number in sorted(objects):
        index += f"{len(out):010} 00000 n \n"
        out += f"{number} 0 obj\n{objects[number]}\nendobj\n".encode("latin-1")
    size = len(objects) + 1
    return out + (
        f"xref\n0 {size}\n{index}trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R {trailer} >>\n"
        f"startxref\n{len(out)}\n%%EOF\n"
    ).encode("latin-1")


def saved(document):
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def made_docx():
    from docx import Document

    document = Document()
    document.core_properties.title = "Letter"
    document.core_properties.author = "Ann"
    document.add_heading("About cars")
    document.add_paragraph("A red car.").add_run(" It is fast.").bold = True
    table = document.add_table(rows=2, cols=2)
    for i, word in enumerate(["name", "speed", "beetle", "slow"]):
        table.cell(i // 2, i % 2).text = word
    document.add_heading("About dogs", level=2)
    document.add_paragraph("A dog.")
    return saved(document)


def made_pptx():
    from pptx import Presentation
    from pptx.util import Inches

    show = Presentation()
    show.core_properties.title = "Talk"
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = "Cars"
    first.placeholders[1].text = "They are red\nand fast"
    first.notes_slide.notes_text_frame.text = "Say hello"
    show.slides.add_slide(show.slide_layouts[6])  # empty
    last = show.slides.add_slide(show.slide_layouts[6])
    table = last.shapes.add_table(1, 2, 0, 0, Inches(4), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "beetle", "slow"
    return saved(show)


def made_zip(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def epub_entries(*chapters):
    items = "".join(
        f'<item id="c{i}" href="text/chapter%20{i}.xhtml" media-type="application/xhtml+xml"/>'
        for i in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    entries = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:'
        'container"><rootfiles><rootfile full-path="OEBPS/content.opf"/></rootfiles></container>',
        "OEBPS/content.opf": '<package xmlns="http://www.idpf.org/2007/opf" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Night</dc:title>'
        "<dc:creator>Ann</dc:creator><dc:date>1865-07</dc:date></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for i, chapter in enumerate(chapters):
        entries[f"OEBPS/text/chapter {i}.xhtml"] = (
            "<?xml version='1.0' encoding='utf-8'?><!DOCTYPE html>"
            '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head>'
            f"<body>{chapter}</body></html>"
        )
    return entries


def made_epub(*chapters):
    return made_zip(epub_entries(*chapters))


def made_mail(body="Hello Bob"):
    message = EmailMessage()
    message["From"] = "Ann <ann@example.org>"
    message["To"] = "bob@example.org, Eve <eve@example.org>"
    message["Date"] = "Fri, 31 May 2024 10:00:00 +0200"
    message["Subject"] = "Größe 東京"
    message.set_content(body)
    return message
